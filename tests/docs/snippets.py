"""Find the fenced snippets and the inline commands of a Markdown page.

A comment before a fence says how its snippet is tested; without one it is simply run:

    <!-- test: compose, REASON -->   its commands are composed and checked, not run
    <!-- test: slow, REASON -->      so too among the fast tests; the slow tests run it
    <!-- test: needs, REASON -->     run in a folder that holds a PickPlace data set and policy

The fence's `title="FILE"` makes a snippet a file of that name, which later ones may use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARKERS = ("compose", "slow", "needs")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w+-]*)(?P<rest>.*)$")
_MARKER = re.compile(r"^ *<!-- test: (?P<kind>\w+), (?P<reason>.+) -->$")
_TITLE = re.compile(r'title="([^"]+)"')
_INLINE = re.compile(r"`(kinoise [^`]+)`")


@dataclass(frozen=True)
class Snippet:
    """One fenced block.

    Attributes:
        page: the file it stands in, below the repository's root.
        line: the line of its fence.
        language: what the fence says, "" for nothing.
        text: what stands between the fences.
        title: the file that it is, "" for none.
        marker: a word of `MARKERS`, "" for none.
    """

    page: Path
    line: int
    language: str
    text: str
    title: str = ""
    marker: str = ""

    @property
    def place(self) -> str:
        """Where to look when it fails."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the README and every page of the manual that is not generated."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if path.name != "methods.md"]


def snippets(path: Path) -> Iterator[Snippet]:
    """Yield a page's fenced blocks in order.

    Raises:
        ValueError: a fence that is never closed, or a marker that is none.
    """
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    page = path.relative_to(ROOT)
    marker = ""
    for number, line in lines:
        if said := _MARKER.match(line):
            marker = said["kind"]
            if marker not in MARKERS:
                raise ValueError(f"{page}:{number}: no marker '{marker}'; there are {MARKERS}")
        elif fence := _FENCE.match(line):
            body = _body(lines, len(fence["indent"]), f"{page}:{number}")
            title = _TITLE.search(fence["rest"])
            name = title[1] if title else ""
            yield Snippet(page, number, fence["language"], body, name, marker)
            marker = ""
        elif line.strip():
            marker = ""


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a shell snippet, lines that end in a backslash joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def inline_commands(path: Path) -> Iterator[str]:
    """Yield the commands in a page's prose that hold no placeholder such as RUN or `...`."""
    prose = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for found in _INLINE.finditer(prose):
        command = " ".join(found[1].split())
        if "..." not in command and not re.search(r"\b[A-Z]{2,}\b", command):
            yield command


def _body(lines: Iterator[tuple[int, str]], indent: int, place: str) -> str:
    body = []
    for _, line in lines:
        if line.strip() == "```":
            return "\n".join(body) + "\n"
        body.append(line[indent:])
    raise ValueError(f"{place}: the fence is never closed")
