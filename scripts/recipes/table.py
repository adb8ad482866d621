"""The choices of a recipe as lines to read, and as they are stored with the run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from .rule import Choice

WIDTH = 100


def lines(choices: Sequence[Choice], recipe: str) -> Iterator[str]:
    """Yield the table of choices with their reasons."""
    if not choices:
        return
    yield f"recipe {recipe}: every choice is an override"
    yield from rows(cells(choices))


def cells(choices: Sequence[Choice]) -> list[tuple[str, str, str]]:
    """Return setting, value and reason of each choice as text."""
    return [(each.setting, shown(each.value), why(each)) for each in choices]


def rows(texts: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield lines of three columns, the last one wrapped."""
    first, second = (max(len(row[column]) for row in texts) for column in (0, 1))
    indent = first + second + 6
    for setting, value, reason in texts:
        parts = textwrap.wrap(reason, max(30, WIDTH - indent)) or [""]
        yield f"  {setting.ljust(first)}  {value.ljust(second)}  {parts[0]}"
        yield from (" " * indent + part for part in parts[1:])


def why(choice: Choice) -> str:
    """Return the reason of a choice, and whose it is."""
    if not choice.given:
        return choice.reason
    if choice.advised == choice.value:
        return f"given, and the rule agrees: {choice.reason}"
    return f"given; the rule says {shown(choice.advised)}: {choice.reason}"


def shown(value: Any) -> str:
    """Return a value as an override would say it."""
    if value == {}:
        return "default"
    if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
        return ", ".join(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def stored(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Return the choices as plain data for the checkpoint's configuration."""
    return [
        {
            "setting": each.setting,
            "value": each.value,
            "given": each.given,
            "reason": each.reason,
        }
        for each in choices
    ]
