"""A command line that cannot be run ends in one line, before anything is written or removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinoise.scripts.command.cli import main

from ..tiny import SMALL, write_data
from .hostile import LINES

#: A training's config is the slowest to compose: every second of those lines waits for the others.
PARAMETERS = [
    pytest.param(line, marks=pytest.mark.slow) if number % 2 and line.startswith("train") else line
    for number, line in enumerate(LINES)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with everything that the lines name."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "FOLDER").mkdir()
    (root / "FOLDER" / "thesis.txt").write_text("all of it")
    (root / "EMPTY").mkdir()
    (root / "FILE").write_text("a file")
    write_data(root / "DATA")
    words = ["train", f"data.path={root / 'DATA'}", *SMALL]
    assert main([*words, f"run={root / 'RUN'}"]) == 0
    assert main([*words, f"run={root / 'second'}"]) == 0
    checkpoint = next((root / "second" / "checkpoints").glob("step_*"))
    checkpoint.rename(root / "OTHER")
    return root


def _seen(root: Path) -> dict[str, object]:
    """Return every folder below `root`, and every file with its size and time of change."""
    return {
        str(path): None if path.is_dir() else (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in root.rglob("*")
    }


def test_the_table_is_long_enough_and_holds_nothing_twice() -> None:
    assert sum(isinstance(each, str) for each in PARAMETERS) >= 250
    assert len(set(LINES)) == len(LINES)


@pytest.mark.parametrize("line", PARAMETERS)
def test_a_hostile_line_is_refused_in_one_line_and_changes_nothing(
    line: str, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    before = _seen(home)
    assert main(_words(line)) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("kinoise: error: ")
    assert len(said[0]) > len("kinoise: error: ") + 10
    assert _seen(home) == before


def _words(line: str) -> list[str]:
    """Return the words of a line; one that holds a brace ends it, spaces and all."""
    head, brace, rest = line.replace("LONG", "x" * 300).partition(" {")
    words = head.split()
    start = next((i for i, word in enumerate(words) if "={" in word), len(words))
    return [*words[:start], *filter(None, [" ".join(words[start:])]), *filter(None, [brace + rest])]
