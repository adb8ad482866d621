"""Damage done to the files of a data set, and what must come of it: one line, or the rows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats.lerobot import IMPORTER

#: What may stand in JSON where something else is expected.
STRANGE: list[Any] = [
    None, True, -1, 0, 1, 2, 1e9, 1 << 62, 10**30, "", "x", "../../x", "/etc/passwd", [], {},
    [0], [-1], [1 << 40], [3, 1, 2, 1], "{episode_index.__class__}", "{chunk_index:9999999d}",
    float("nan"), float("inf"), "image", "video", "float32", "object", "a" * 300,
]  # fmt: skip


def read_all(path: Path) -> int:
    """Read every row as an import does, and return how many there are."""
    with IMPORTER.open(path, None, allow_missing=False) as data:
        return sum(len(block["action"]) for block in data.blocks(4))


def survives(path: Path) -> bool:
    """Say whether a data set is read; a refusal has to be one line."""
    try:
        read_all(path)
    except DatasetError as error:
        line = str(error)
    else:
        return True
    assert "\n" not in line
    assert len(line) < 1000
    return False


def mutate(folder: Path, chance: random.Random) -> Callable[[], None]:
    """Damage one file of a data set at random and return what mends it."""
    path = chance.choice(sorted(file for file in folder.rglob("*") if file.is_file()))
    before = path.read_bytes()
    kind = chance.randrange(8)
    if path.suffix in (".json", ".jsonl") and kind < 6:
        path.write_text(_strange_json(before.decode(), chance))
    elif kind == 7 and chance.random() < 0.3:
        path.unlink()
    else:
        path.write_bytes(_strange_bytes(bytearray(before), chance))

    def mend() -> None:
        path.write_bytes(before)

    return mend


def _strange_json(text: str, chance: random.Random) -> str:
    lines = text.splitlines() if "\n{" in text.strip() else [text]
    place = chance.randrange(len(lines))
    content = json.loads(lines[place])
    node: Any = content
    while isinstance(node, dict | list) and node:
        parent = node
        key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        node = node[key]
        if chance.random() < 0.3:
            break
    if chance.random() < 0.2:
        del parent[key]
    else:
        parent[key] = chance.choice(STRANGE)
    lines[place] = json.dumps(content)
    return "\n".join(lines)


def _strange_bytes(content: bytearray, chance: random.Random) -> bytes:
    size = len(content)
    # Headers and footers decide more than what lies between.
    edge = min(size, 400)
    place = chance.choice(
        [chance.randrange(size), chance.randrange(edge), size - 1 - chance.randrange(edge)]
    )
    kind = chance.randrange(6)
    if kind == 0:
        content[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        content[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
    elif kind == 2:
        del content[place:]
    elif kind == 3:
        del content[place : place + chance.randrange(1, 64)]
    elif kind == 4:
        content[place:place] = chance.randbytes(chance.randrange(1, 64))
    else:
        for _ in range(chance.randrange(2, 30)):
            content[chance.randrange(size)] = chance.randrange(256)
    return bytes(content)
