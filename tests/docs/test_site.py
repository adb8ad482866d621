"""The manual builds as a site without a warning, and reads without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snippets import ROOT

_FETCHED = re.compile(r"<(?:script|img|iframe)[^>]* src=\"(https?:)?//|<link[^>]*stylesheet[^>]*//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="extra: kinoise[docs]")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_holds_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    assert pages <= built


@pytest.mark.slow
def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetching = [
        path.name for path in site.rglob("*.html") if _FETCHED.search(path.read_text("utf-8"))
    ]
    assert fetching == []


@pytest.mark.slow
def test_the_reference_shows_the_public_faces(site: Path) -> None:
    text = (site / "reference" / "networks.html").read_text("utf-8")
    assert all(name in text for name in ("DiT", "ConditionalUnet1D", "StateEncoder"))


def test_every_page_stands_in_the_navigation_once() -> None:
    # The theme's tags for Python objects in the file are none of ours, and not needed here.
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = re.findall(r"[\w/]+\.md", yaml.safe_dump(yaml.safe_load(text)["nav"]))
    assert len(listed) == len(set(listed))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(listed)


def test_the_pictures_are_small_enough_to_load_at_once() -> None:
    for path in (ROOT / "docs" / "assets").iterdir():
        assert path.stat().st_size < 1.5e6, path.name


def test_the_build_counts_warnings() -> None:
    # Quiet, mkdocs does not see its own warnings and passes over a dead link.
    (line,) = re.findall(r"^\t.*mkdocs build.*$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert "--strict" in line
    assert "--quiet" not in line


@pytest.mark.slow
@pytest.mark.parametrize("link", ["nowhere.md", "guide.md#no-such-heading"])
def test_a_dead_link_fails_the_build(link: str, tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="extra: kinoise[docs]")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Page\n\n[dead]({link})\n")
    (tmp_path / "docs" / "guide.md").write_text("# Guide\n")
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[0]
    text = re.sub(r"^hooks:.*\n", "", text, flags=re.M)
    (tmp_path / "mkdocs.yml").write_text(text)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert link.partition("#")[2] in done.stderr
