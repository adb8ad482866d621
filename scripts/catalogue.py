"""Read from the packaged YAML files which slots there are and what can stand in them.

Works on the text alone: help and shell completion must answer at once, and both Hydra and a
YAML parser take longer to import than the whole answer takes to find.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

# One entry of a defaults list: `- group: option`, with Hydra's prefixes and an optional package.
DEFAULTS_ENTRY = re.compile(
    r"^\s*-\s+(?:optional\s+)?(override\s+)?(/?[\w/]+)(?:@([\w.]+))?:\s*(\S+)"
)


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
        for entry in _defaults(path):
            is_override, group, package, option = entry.groups()
            if group[0] != "/":  # relative to the group that the file stands in
                group = (path.parent.relative_to(root) / group).as_posix()
            package = package or entry[2].strip("/").replace("/", ".")
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
    """Return the settings of `config` as they stand in its file, comments included."""
    path = (root or config_folder()) / f"{config}.yaml"
    if not path.exists():
        return ""
    _, body = _split(path.read_text(encoding="utf-8").splitlines())
    while body and (not body[0].strip() or body[0].startswith("#")):
        body.pop(0)
    return "\n".join(body).rstrip()


def setting_names(config: str, root: Path | None = None) -> list[str]:
    """Return the dotted names of the settings in `config`'s own file that hold a value."""
    names: list[str] = []
    above: list[tuple[int, str]] = []  # the keys that the present line stands below, and where
    for line in settings_text(config, root).splitlines():
        if not (found := re.match(r"( *)(\w+):", line)):
            continue
        indent = len(found[1])
        while above and above[-1][0] >= indent:
            above.pop()
        if above and names and names[-1] == ".".join(key for _, key in above):
            names.pop()  # a key with others below it holds no value of its own
        above.append((indent, found[2]))
        names.append(".".join(key for _, key in above))
    return names


def _defaults(path: Path) -> list[re.Match[str]]:
    if not path.exists():
        return []
    listed, _ = _split(path.read_text(encoding="utf-8").splitlines())
    return [entry for entry in map(DEFAULTS_ENTRY.match, listed) if entry]


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """Divide a config's lines into its defaults list and everything else."""
    listed: list[str] = []
    body: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("defaults:"):
            inside = True
        elif inside and (not line.strip() or line[0] in " -#"):
            listed.append(line)
        else:
            inside = False
            body.append(line)
    return listed, body
