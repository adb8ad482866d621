"""Reading a description: plain data and nothing that would have to be resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinoise.policy.checkpoints.reading import read_yaml
from kinoise.policy.errors import PolicyError


def _file(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_plain_data_are_read_as_they_are(tmp_path: Path) -> None:
    path = _file(tmp_path, "policy: {horizon: 8, sizes: [1, 2]}\nname: $5 {a}\n")
    assert read_yaml(path) == {"policy": {"horizon": 8, "sizes": [1, 2]}, "name": "$5 {a}"}


@pytest.mark.parametrize(
    "text",
    ["task: {name: '${oc.env:SECRET}'}", "names: [a, ['${policy}']]", "x: 'a ${oc.decode:1} b'"],
)
def test_a_placeholder_is_refused_wherever_it_stands(text: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="not resolved"):
        read_yaml(_file(tmp_path, text))


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30)]
    with pytest.raises(PolicyError, match="too many"):
        read_yaml(_file(tmp_path, "\n".join(lines)))
