"""Formats are recognised by what lies there, and adding one takes one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import ForeignData, find_importer, import_data, importer, importers
from kinoise.datasets.formats.importer import Block
from kinoise.datasets.storage import ReplayBuffer


class TextImporter:
    """A format of one text file: a number a line, one episode, at 5 Hz."""

    name = "text"
    takes = "a file that ends in .numbers"

    def recognises(self, path: Path) -> bool:
        return path.suffix == ".numbers"

    @contextmanager
    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> Iterator[ForeignData]:
        lines = path.read_text().splitlines()

        def blocks(n_rows: int) -> Iterator[Block]:
            for start in range(0, len(lines), n_rows):
                yield {"action": np.array(lines[start : start + n_rows], dtype=float)[:, None]}

        yield ForeignData(
            shapes={"action": (1,)},
            dtypes={"action": np.dtype(float)},
            episode_ends=np.array([len(lines)]),
            blocks=blocks,
            stated={"control_rate_hz": 5.0, "action": {"units": "m", "meaning": "relative"}},
            notes=("the colour of the ink is lost",),
        )


@pytest.fixture
def two_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "importers", lambda: {**importers(), "text": TextImporter()})


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "a.numbers"
    path.write_text("1\n2\n4\n")
    return path


def test_every_module_with_an_importer_is_a_format() -> None:
    assert set(importers()) >= {"diffusion_policy"}
    assert all(name == one.name for name, one in importers().items())


@pytest.mark.usefixtures("two_formats")
def test_a_format_is_recognised_and_what_it_states_is_kept(numbers: Path, tmp_path: Path) -> None:
    report = import_data(numbers, tmp_path / "ours", action_meaning="absolute")
    assert (report.format, report.n_steps) == ("text", 3)
    assert "the colour of the ink is lost" in report.notes
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.read("action").tolist() == [[1], [2], [4]]
    assert buffer.attrs["control_rate_hz"] == 5.0
    assert buffer.attrs["action"]["units"] == "m"
    assert buffer.attrs["action"]["meaning"] == "absolute"  # the caller knows better
    assert buffer.attrs["source"]["format"] == "text"


@pytest.mark.usefixtures("two_formats")
def test_a_source_that_fits_several_formats_asks_which(
    numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(importers()["diffusion_policy"]), "recognises", lambda self, path: True
    )
    with pytest.raises(DatasetError, match="format=diffusion_policy or format=text"):
        find_importer(numbers)
    assert find_importer(numbers, "text").name == "text"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("auto", "is of no format that is read here: diffusion_policy takes"),
        ("diffusion_polcy", "no format named 'diffusion_polcy'; did you mean 'diffusion_policy'"),
        ("zzz", "known: aloha, auto, csv, d4rl, diffusion_policy"),
        ("diffusion_policy", "neither a folder nor a readable .zip"),
    ],
)
def test_a_source_or_format_that_nobody_knows_is_told_in_one_line(
    numbers: Path, tmp_path: Path, name: str, fault: str
) -> None:
    with pytest.raises(DatasetError, match=fault) as caught:
        import_data(numbers, tmp_path / "ours", format=name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


@pytest.mark.usefixtures("two_formats")
@pytest.mark.parametrize("part", [3, ["action"], ["action", "a", "b"], "action", None])
def test_a_derived_key_that_is_written_wrongly_is_told_in_one_line(
    numbers: Path, tmp_path: Path, part: object
) -> None:
    with pytest.raises(DatasetError, match="cannot derive 'x' from"):
        import_data(numbers, tmp_path / "ours", derived={"x": part})  # type: ignore[dict-item]
