"""CITATION.cff says who and what, as version 1.2.0 of its schema asks."""

from __future__ import annotations

import tomllib
from typing import Any

import yaml
from snippets import ROOT

#: Keys of the schema that this project has a use for.
KNOWN = {
    "cff-version",
    "message",
    "title",
    "type",
    "version",
    "license",
    "authors",
    "abstract",
    "keywords",
    "repository-code",
    "url",
    "date-released",
}


def _citation() -> dict[str, Any]:
    citation: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    return citation


def test_the_citation_has_what_the_schema_requires() -> None:
    citation = _citation()
    assert citation["cff-version"] == "1.2.0"
    assert set(citation) <= KNOWN
    assert all(isinstance(citation[key], str) for key in ("message", "title", "version"))
    assert citation["type"] == "software"
    assert [set(author) for author in citation["authors"]] == [{"name"}]


def test_the_citation_names_the_version_and_licence_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = _citation()
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
