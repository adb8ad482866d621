"""Every snippet of the README and of the manual runs; see `snippets` for how one is marked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from snippets import ROOT, Snippet, inline_commands, pages, snippets
from story import Story, forget

PAGES = [page for page in pages() if list(snippets(page))]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds `data/pick_place.zarr` and `runs/pick_place`."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        story = Story(folder)
        story.command("kinoise collect task=pick_place")
        story.command("kinoise train task=pick_place")
    return folder


def _follow(
    page: Path, folder: Path, prepared: Path, patch: pytest.MonkeyPatch, *, slow: bool
) -> None:
    """Follow a page from its first snippet to its last."""
    patch.chdir(folder)
    patch.syspath_prepend(str(folder))
    story = Story(folder)
    try:
        for snippet in snippets(page):
            if snippet.marker == "needs":
                shutil.copytree(prepared, folder, dirs_exist_ok=True)
            story.run = snippet.marker != "compose" and (slow or snippet.marker != "slow")
            story.follow(snippet)
    except BaseException as error:
        error.add_note(f"in the snippet at {snippet.place}")
        raise
    finally:
        forget(folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_snippets_of_a_page_run_in_order(
    page: Path, tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _follow(page, tmp_path, prepared, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(each.marker == "slow" for each in snippets(page))],
    ids=lambda page: page.stem,
)
def test_the_slow_snippets_of_a_page_run_too(
    page: Path, tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _follow(page, tmp_path, prepared, monkeypatch, slow=True)


INLINE = {command: page.relative_to(ROOT) for page in pages() for command in inline_commands(page)}


@pytest.mark.parametrize("command", INLINE, ids=str)
def test_a_command_in_the_prose_is_one(command: str, tmp_path: Path) -> None:
    Story(tmp_path, run=False).command(command)


def test_a_snippet_without_a_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no language"):
        Story(tmp_path).follow(Snippet(Path("page.md"), 1, "", "anything"))


def test_a_command_that_nothing_can_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="nothing here can check"):
        Story(tmp_path).command("curl example.org")


@pytest.mark.parametrize(
    "command",
    [
        "make dmeo",
        "pip install -c constraint.txt -e .",
        "pip install -e '.[trian]'",
        "python benchmarks/latency.py --repeat 3",
    ],
)
def test_a_command_with_a_slip_is_refused(command: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Story(tmp_path).command(command)


def test_a_setting_that_does_not_exist_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        Story(tmp_path, run=False).command("kinoise train trainer.n_stpes=3")
    assert "did you mean" in capsys.readouterr().err
