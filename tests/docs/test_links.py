"""Every link within the repository leads somewhere, on the site and where Markdown is shown raw."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from snippets import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```", re.M | re.S)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.M)


def _slugs(heading: str) -> tuple[str, str]:
    """Return a heading's anchor on the site and where Markdown is shown raw."""
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", heading).replace("`", "")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    site = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
    raw = re.sub(r"[^\w\s-]", "", text.lower()).replace(" ", "-")
    return site, raw


def _anchors(page: Path) -> set[str]:
    """Return the anchors that hold on the site and elsewhere."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return {site for site, raw in map(_slugs, _HEADING.findall(text)) if site == raw}


def _links(page: Path) -> Iterator[str]:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if not target.startswith(("https://", "http://", "mailto:")):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    dead = []
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            dead.append(link)
    assert dead == []


def test_an_anchor_is_written_as_the_site_writes_it() -> None:
    assert _slugs("A sampler is a table") == ("a-sampler-is-a-table",) * 2
    assert _slugs("Push-T, `make demo`")[0] == "push-t-make-demo"
