"""Read from the packaged YAML files which slots there are and what can stand in them.

PyYAML reads them, in C: help and shell completion must answer at once, and Hydra alone takes longer
to import than the whole answer takes to find. Comments, which no parser keeps, are read as text.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def config_folder() -> Path:
    """Return the folder that holds the packaged configs."""
    return Path(importlib.import_module("kinoise.configs").__path__[0])


def groups(root: Path | None = None) -> dict[str, list[str]]:
    """Return each config group (a folder, `a/b` when nested) and the names of its options."""
    root = root or config_folder()
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.yaml")):
        if path.parent != root:
            found.setdefault(path.parent.relative_to(root).as_posix(), []).append(path.stem)
    return found


def description(path: Path) -> str:
    """Return what a YAML file says about itself: its first comment, Hydra's directives apart."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            break
        if text.startswith("#") and not re.match(r"#\s*@", text):
            return text.lstrip("# ").strip()
    return ""


def slots(config: str, root: Path | None = None) -> dict[str, str]:
    """Return the groups that `config` chooses from and its choice, "null" for none.

    Follows the choices into their own defaults lists, as Hydra does.
    """
    root = root or config_folder()
    chosen: dict[str, str] = {}
    overridden: dict[str, str] = {}
    waiting = [(root / f"{config}.yaml", "")]
    while waiting:
        path, outer = waiting.pop(0)
        for group, package, option, is_override in _defaults(path):
            if group[0] != "/":  # relative to the group that the file stands in
                group = (path.parent.relative_to(root) / group).as_posix()
            group = group.strip("/")
            if is_override:
                overridden[_override_key(group, package)] = option
                continue
            package = f"{outer}.{package}" if outer else package
            chosen.setdefault(_override_key(group, package), option)
            file = root / group / f"{option}.yaml"
            waiting.append((file, _package(file, package)))
    return chosen | overridden


def _package(file: Path, default: str) -> str:
    """Return where the contents of a config land: what its `# @package` says, else `default`."""
    if not file.exists():
        return default
    found = re.match(r"#\s*@package\s+(\S+)", file.read_text(encoding="utf-8"))
    if found is None:
        return default
    return "" if found[1] == "_global_" else found[1]


def _override_key(group: str, package: str) -> str:
    """Return how an override names a group whose choice lands in `package`."""
    return group if package == group.replace("/", ".") else f"{group}@{package}"


def settings_text(config: str, root: Path | None = None) -> str:
    """Return the settings of `config` as they stand in its files, comments included."""
    texts = []
    for path in _files(config, root or config_folder()):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        body = list(_without(("defaults:", "hydra:"), lines))
        while body and (not body[0].strip() or body[0].startswith("#")):
            body.pop(0)
        texts.append("\n".join(body).rstrip())
    return "\n\n".join(text for text in texts if text)


def _files(config: str, root: Path) -> Iterator[Path]:
    """Yield the file of a config and those that it takes in whole."""
    path = root / f"{config}.yaml"
    yield path
    for entry in _parsed(path).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            yield from _files(entry, root)


def _without(keys: tuple[str, ...], lines: list[str]) -> Iterator[str]:
    """Yield the lines of a YAML file that do not belong to the top-level `keys`."""
    inside = False
    for line in lines:
        if line.startswith(keys):
            inside = True
        elif inside and (not line.strip() or line[0] in " -#"):
            continue
        else:
            inside = False
            yield line


def setting_names(config: str, root: Path | None = None) -> list[str]:
    """Return the dotted names of the settings in `config`'s files that hold a value."""
    files = _files(config, root or config_folder())
    return [name for path in files for name in _leaves(_parsed(path))]


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if prefix == "" and key in ("defaults", "hydra"):
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _defaults(path: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Yield a config's choices: group, where it lands, option, whether it overrides another's."""
    for entry in _parsed(path).get("defaults", []):
        if not isinstance(entry, dict):  # `_self_`, or a whole config by its name
            continue
        for key, option in entry.items():
            words = key.split()
            group, _, package = words[-1].partition("@")
            package = package or group.strip("/").replace("/", ".")
            yield group, package, "null" if option is None else str(option), "override" in words


def _parsed(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    import yaml

    node = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return dict(node or {})
