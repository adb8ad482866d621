"""The error of the data sets' room says one line, whatever a file is called within."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from kinoise.datasets.errors import DatasetError


@given(name=st.text())
def test_what_a_hostile_file_names_neither_breaks_the_line_nor_reaches_the_terminal(
    name: str,
) -> None:
    line = str(DatasetError(f"no array {name}; copy the file again"))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_plain_words_of_any_language_stay_and_the_error_crosses_processes() -> None:
    error = DatasetError("no array 'größe' in 数据.npz")
    assert str(error) == "no array 'größe' in 数据.npz"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(DatasetError("a\x1b[31m\nb")) == "a\\x1b[31m\\nb"
