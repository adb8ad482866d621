"""Hooks of the site: pictures that stand elsewhere, and pages that may not be there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]

#: Name in the site -> where the file stands in the repository; each exists once.
PICTURES = {"assets/families.png": "benchmarks/results/families.png"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation whose file does not exist."""
    config.nav = _existing(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Publish pictures that benchmarks made without keeping a copy of them in docs/."""
    for name, source in PICTURES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point a page's link to a picture elsewhere in the repository to where the site has it."""
    for name, source in PICTURES.items():
        markdown = markdown.replace(f"../{source}", name)
    return markdown


def _existing(entries: Any, folder: Path) -> Any:
    kept = []
    for entry in entries:
        (title, target), *_ = entry.items()
        if isinstance(target, list):
            kept.append({title: _existing(target, folder)})
        elif (folder / target).is_file():
            kept.append(entry)
    return kept
