"""Shell completion: verbs, slots and their options, settings, paths.

Registered in a shell by `eval "$(register-python-argcomplete kinoise)"`.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from . import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from .verbs import Verb


def answer(parser: argparse.ArgumentParser) -> None:
    """Answer the shell's question and leave the process, when it is the shell that asks."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options=False)


def attach(action: argparse.Action, verb: Verb) -> None:
    """Let argcomplete complete the words after `verb`."""
    action.completer = _completer(verb)  # type: ignore[attr-defined]  # argcomplete's own protocol


def _completer(verb: Verb) -> Callable[..., list[str]]:
    def complete(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        return candidates(verb, prefix)

    return complete


def candidates(verb: Verb, prefix: str) -> list[str]:
    """Return the words that can follow `kinoise <verb>` and begin with `prefix`."""
    key, equals, value = prefix.partition("=")
    if equals:
        sign = key[: len(key) - len(key.lstrip("+"))]
        options = catalogue.groups().get(key[len(sign) :].split("@")[0])
        values = _paths(value) if options is None else options
        return [f"{key}={each}" for each in values if each.startswith(value)]
    words = [f"{name}=" for name in catalogue.slots(verb.name)]
    words += [f"{name}=" for name in catalogue.setting_names(verb.name)]
    words += _bare(verb, prefix)
    return [word for word in dict.fromkeys(words) if word.startswith(prefix)]


def _bare(verb: Verb, prefix: str) -> list[str]:
    """Return what can fill the verb's positionals."""
    words = [choice for positional in verb.positionals for choice in positional.choices]
    if any(not positional.choices for positional in verb.positionals):
        words += _paths(prefix)
    return words


def _paths(prefix: str) -> list[str]:
    """Return the files and folders (with a slash) whose path begins with `prefix`."""
    folder, name = os.path.split(prefix)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")  # noqa: PTH118
        for entry in entries
        if entry.name.startswith(name) and (name.startswith(".") or not entry.name.startswith("."))
    ]
