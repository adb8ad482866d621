"""The rules of the house, read from the source: who may import whom, and what each room holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("policy", "envs", "datasets", "configs", "scripts")
SIBLINGS = ("policy", "envs", "datasets")  # these never import one another

SOURCES = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _imports(source: str, path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the absolute name of everything that a file of `path` imports.

    Relative imports are resolved as Python does, with `path` standing below `kinoise`; modules
    that are named in a call to `import_module` or `__import__` count as well.
    """
    package = ("kinoise", *path.parent.parts)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, node.module) if node.module else base)
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from ((node.lineno, str(name)) for name in names)


def breaches(source: str, path: Path) -> list[str]:
    """Return what a file imports against the rules, one line each."""
    room = path.parts[0]
    found = []
    for line, name in _imports(source, path):
        top, _, rest = f"{name}.".partition(".")
        target = rest.partition(".")[0]
        if top in ROOMS:
            found.append(f"{path}:{line} imports '{name}': our folders have no top-level name")
        elif room in SIBLINGS and top == "kinoise" and target != room:
            found.append(f"{path}:{line} imports '{name}': {room} knows only itself")
    if room in SIBLINGS:
        found += _absolute_imports(source, path)
    return found


def _absolute_imports(source: str, path: Path) -> list[str]:
    """Return the imports of a sibling's own parts that are not relative."""
    named: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            named.append((node.lineno, node.module or ""))
    return [
        f"{path}:{line} imports '{name}': use a relative import"
        for line, name in named
        if name.split(".")[0] == "kinoise"
    ]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    assert breaches((ROOT / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("policy/trainer.py", "from kinoise.datasets import loader"),
        ("policy/trainer.py", "import kinoise.envs.rollouts"),
        ("policy/trainer.py", "from ..envs import rollout"),
        ("policy/networks/dit.py", "from ...datasets.loader import WindowLoader"),
        ("policy/trainer.py", "from .. import envs"),
        ("policy/trainer.py", "from kinoise.policy import paths"),
        ("envs/rollout.py", "def f():\n    import kinoise.policy"),
        ("datasets/loader.py", "import importlib\nimportlib.import_module('kinoise.envs')"),
        ("scripts/eval.py", "import datasets"),
        ("envs/rollout.py", "from policy.paths import LinearFlow"),
    ],
)
def test_a_breach_is_seen(path: str, source: str) -> None:
    assert breaches(source, Path(path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("policy/networks/dit.py", "from .embeddings import Sinusoid\nfrom .. import paths"),
        ("policy/networks/dit.py", "from ..paths import LinearFlow\nimport torch"),
        ("scripts/eval.py", "from kinoise.policy import load_policy\nfrom . import errors"),
        ("envs/rollout.py", "import policyengine"),
    ],
)
def test_what_is_allowed_is_no_breach(path: str, source: str) -> None:
    assert breaches(source, Path(path)) == []


def _targets(path: Path) -> set[Path]:
    """Return the files of the house that a file imports, by whichever name."""
    found: set[Path] = set()
    for _, name in _imports((ROOT / path).read_text(encoding="utf-8"), path):
        parts = name.split(".")
        if parts[0] != "kinoise":
            continue
        # The longest prefix that is a file: the rest are names in it.
        for length in range(len(parts), 1, -1):
            place = Path(*parts[1:length])
            for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                if (ROOT / candidate).is_file():
                    found.add(candidate)
                    break
            else:
                continue
            break
    return found - {path}


def circles(arrows: dict[Path, set[Path]]) -> list[list[Path]]:
    """Return groups of files that import one another in a circle (Tarjan 1972)."""
    order: dict[Path, int] = {}
    lowest: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[Path]] = []

    def visit(file: Path) -> None:
        order[file] = lowest[file] = len(order)
        stack.append(file)
        for other in sorted(arrows.get(file, ())):
            if other not in order:
                visit(other)
                lowest[file] = min(lowest[file], lowest[other])
            elif other in stack:
                lowest[file] = min(lowest[file], order[other])
        if lowest[file] == order[file]:
            place = stack.index(file)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                found.append(group)

    for file in sorted(arrows):
        if file not in order:
            visit(file)
    return found


def test_no_files_import_one_another_in_a_circle() -> None:
    """Imports within functions and those for the type checker count as well."""
    assert circles({path: _targets(path) for path in SOURCES}) == []


def test_a_circle_is_seen() -> None:
    a, b, c = Path("a.py"), Path("b.py"), Path("c.py")
    assert circles({a: {b}, b: {c}, c: {a}})
    assert circles({a: {b, c}, b: {c}, c: set()}) == []


def test_no_room_holds_more_than_15_files() -> None:
    rooms: dict[Path, int] = {}
    for path in SOURCES:
        rooms[path.parent] = rooms.get(path.parent, 0) + (path.name != "__init__.py")
    assert {str(room): count for room, count in rooms.items() if count > 15} == {}


def test_no_file_is_longer_than_400_lines() -> None:
    files = [*SOURCES, *(p.relative_to(ROOT) for p in (ROOT / "tests").rglob("*.py"))]
    files += [p.relative_to(ROOT) for p in (ROOT / "benchmarks").rglob("*.py")]
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in files}
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}


def test_datasets_is_no_regular_package() -> None:
    # A regular top-level `datasets` on the path would win over Hugging Face's package.
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_every_room_of_code_is_typed_and_open_to_the_type_checker() -> None:
    for room in (*SIBLINGS, "scripts"):
        assert (ROOT / room / "py.typed").exists()
        assert (ROOT / "typings" / "kinoise" / room).resolve() == ROOT / room


def test_the_tests_mirror_the_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} <= {*ROOMS, "benchmarks", "docs"}
