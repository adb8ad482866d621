"""A verb's settings: its composed configuration, read into the verb's own typed dataclass.

The dataclass is the schema. A value that its type or bound does not allow, and a key that no
field reads, end the command before anything is done.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from .composing import complete, compose
from .errors import UsageError, suggest
from .help import usage
from .values import Refused, convert, describe
from .verbs import VERBS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def prepare(verb: str, overrides: Sequence[str] = (), *, extra: Sequence[Path] = ()) -> Any:
    """Return the settings of a verb with Hydra `overrides` applied: its module's `Settings`.

    Args:
        verb: a key of `VERBS`.
        overrides: in Hydra's grammar.
        extra: folders of the user's own YAML files.

    Raises:
        UsageError: an override that Hydra cannot read, or a value that the schema refuses.
    """
    return settings_of(verb, compose(verb, overrides, extra=extra))


def settings_of(verb: str, config: DictConfig) -> Any:
    """Return the settings that a composed configuration of `verb` holds.

    Raises:
        UsageError: a value that the schema refuses, or one that is missing.
    """
    kind = importlib.import_module(f"kinoise.scripts.{VERBS[verb].module}").Settings
    _require_slots(verb, kind, config)
    return read(kind, complete(config, usage(VERBS[verb])), verb)


def read(
    kind: Any,
    config: DictConfig,
    verb: str,
    prefix: str = "",
    names: Sequence[str] = (),
) -> Any:
    """Return an instance of the dataclass `kind` with the values of `config`.

    Args:
        kind: the schema; a field of type `Any` takes the node as it is.
        config: resolved.
        verb: whose settings they are, for the message.
        prefix: of the names in the message, for a dataclass inside another.
        names: of all settings of the verb; those of `kind` by default.
    """
    names = names or list(_names(kind))
    hints = get_type_hints(kind, include_extras=True)
    for key in map(str, config):
        if key not in hints:
            raise unknown(verb, f"{prefix}{key}", names)
    values: dict[str, Any] = {}
    for each in fields(kind):
        name = f"{prefix}{each.name}"
        if each.name not in config:
            _check_default(each, verb, name)
            continue
        hint = hints[each.name]
        if is_dataclass(hint):
            node = config[each.name]
            if not _is_mapping(node):
                raise refusal(name, node, "give a mapping of settings")
            values[each.name] = read(hint, node, verb, prefix=f"{name}.", names=names)
        elif hint is Any:
            values[each.name] = config[each.name]
        else:
            values[each.name] = value_of(name, _plain(config[each.name]), hint)
    return kind(**values)


def value_of(name: str, value: Any, hint: Any) -> Any:
    """Return the value of the setting `name` as the type `hint` asks for it.

    Raises:
        UsageError: it does not fit; names the setting, the value and what is allowed.
    """
    try:
        return convert(value, hint)
    except Refused:
        near = suggest(value, _choices(hint)) if isinstance(value, str) else ""
        raise refusal(name, value, f"give {describe(hint)}{near}") from None


def refusal(name: str, value: Any, mend: str) -> UsageError:
    """Return the error for a value that a setting does not allow."""
    text = "null" if value is None else repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return UsageError(f"{name} is {shown}; {mend}")


def unknown(owner: str, name: str, names: Sequence[str]) -> UsageError:
    """Return the error for a setting that nothing reads."""
    hint = suggest(name, names) or ";"
    return UsageError(f"'{owner}' has no setting '{name}'{hint} it has: {', '.join(names)}")


def plain(settings: Any) -> Any:
    """Return settings as dicts, lists and scalars, as they are stored with a checkpoint."""
    if is_dataclass(settings):
        return {each.name: plain(getattr(settings, each.name)) for each in fields(settings)}
    if isinstance(settings, Path):
        return str(settings)
    return _plain_items(_plain(settings))


def _plain_items(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_items(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_items(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _plain(node: Any) -> Any:
    """Return a node of OmegaConf as plain data, everything else as it is."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _is_mapping(node: Any) -> bool:
    from omegaconf import OmegaConf

    return OmegaConf.is_dict(node)


def _require_slots(verb: str, kind: Any, config: DictConfig) -> None:
    """Refuse an empty slot that has to be filled, before anything is computed from it."""
    from . import catalogue

    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        required = hints[each.name] is Any and each.default is MISSING
        if required and config.get(each.name) is None:
            options = ", ".join(catalogue.groups().get(each.name, []))
            raise UsageError(f"'{verb}' needs a {each.name}; choose {each.name}= one of {options}")


def _check_default(each: Field[Any], verb: str, name: str) -> None:
    if each.default is MISSING and each.default_factory is MISSING:
        raise UsageError(f"'{verb}' needs the setting '{name}'; give {name}=...")


def _names(kind: Any) -> Iterator[str]:
    """Yield the dotted names of a schema's settings."""
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        if is_dataclass(hints[each.name]):
            yield from (f"{each.name}.{name}" for name in _names(hints[each.name]))
        else:
            yield each.name


def _choices(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [choice for part in get_args(hint) for choice in _choices(part)]
