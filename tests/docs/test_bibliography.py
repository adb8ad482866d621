"""Every paper that the code cites has one entry, and every entry is cited as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import ROOT

SOURCES = [
    path
    for room in ("policy", "envs", "datasets", "scripts", "configs", "benchmarks")
    for pattern in ("*.py", "*.yaml")
    for path in sorted((ROOT / room).rglob(pattern))
]
_NAME = r"[A-ZÀ-Ž][\w-]*[a-zß-ž]"
_CITATION = re.compile(rf"\b({_NAME}(?: & {_NAME}| et al\.)? (?:18|19|20)\d\d[a-z]?)\b")
_OTHER_STYLES = re.compile(
    rf"\b({_NAME} et al\.?,? \(?(?:19|20)\d\d|{_NAME} and {_NAME},? \(?(?:19|20)\d\d)"
)
#: How arXiv numbers papers; no other number of the code has this form.
_ARXIV = re.compile(r"\b(\d{4}\.\d{5})\b")
_ENTRY = re.compile(r"^- \*\*(.+?)\*\* · .+ \*.+\.\* .+\d{4}.*\.")

#: Words that stand before a year and are no authors.
NOT_AUTHORS = {"Python", "Version", "Copyright"}


def _entries() -> list[str]:
    lines = (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line.startswith("- ")]
    found = [_ENTRY.match(line) for line in entries]
    wrong = [line for line, match in zip(entries, found, strict=True) if match is None]
    assert wrong == [], "an entry reads: **key** · authors. *title.* venue with year. [arXiv](...)"
    return [match[1] for match in found if match is not None]


def _cited(path: Path) -> set[str]:
    text = re.sub(r"\s+(# *)?", " ", path.read_text(encoding="utf-8"))
    return {each for each in _CITATION.findall(text) if each.split()[0] not in NOT_AUTHORS}


def test_every_citation_of_the_code_has_an_entry() -> None:
    entries = set(_entries())
    missing = {
        f"{path.relative_to(ROOT)}: {each}" for path in SOURCES for each in _cited(path) - entries
    }
    assert missing == set()


def test_the_code_names_no_paper_by_its_number_alone() -> None:
    numbered = {
        f"{path.relative_to(ROOT)}: {number}"
        for path in SOURCES
        for number in _ARXIV.findall(path.read_text(encoding="utf-8"))
    }
    assert numbered == set()


def test_the_entries_are_in_order_and_none_stands_twice() -> None:
    entries = _entries()
    assert entries == sorted(set(entries), key=str.lower)


def test_every_entry_is_cited() -> None:
    assert set(_entries()) - set().union(*map(_cited, SOURCES)) == set()


@pytest.mark.parametrize(
    "text", ["Ho et al., 2020", "Ho et al (2020)", "Clopper and Pearson 1934", "Ho et al. (2020)"]
)
def test_another_style_is_seen(text: str) -> None:
    found = _OTHER_STYLES.search(text)
    assert found is not None
    assert not _CITATION.fullmatch(text)


def test_the_code_cites_in_one_style() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {found}"
        for path in SOURCES
        for found in _OTHER_STYLES.findall(path.read_text(encoding="utf-8"))
        if not _CITATION.fullmatch(found)
    }
    assert wrong == set()
