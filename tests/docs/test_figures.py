"""The figures of the manual are drawn by programs beside it, and can be drawn again."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from snippets import ROOT

FIGURES = ROOT / "docs" / "figures"


def _load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FIGURES))
    spec = importlib.util.spec_from_file_location(name, FIGURES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["slots", "table"])
def test_a_figure_can_be_drawn_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = _load(name, monkeypatch).draw(tmp_path / "again.svg").read_text(encoding="utf-8")
    committed = (ROOT / "docs" / "assets" / f"{name}.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn
    # The coordinates are those of the installed matplotlib; what is drawn is the same.
    assert drawn.count("<path") == committed.count("<path")


def test_the_figure_of_the_slots_names_every_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    slots = re.findall(r"^### (\w+)$", page.partition("## Families")[0], re.MULTILINE)
    module = _load("slots", monkeypatch)
    drawn = {name for name, (_, _, is_slot) in module.BOXES.items() if is_slot}
    assert drawn == set(slots)
