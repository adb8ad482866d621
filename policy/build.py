"""Build a policy from plain configuration, without Hydra and without trusting the file.

A node is a mapping with `_target_`, a dotted name, and its keyword arguments; `_partial_: true`
gives a factory, as in `hydra.utils.instantiate`. Only targets inside this package are built: a
checkpoint may not name arbitrary code. `allow` adds the packages of users who brought their own.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import PolicyError

_OURS = __name__.rpartition(".")[0]


def build(node: Any, allow: Sequence[str] = (), **extra: Any) -> Any:
    """Instantiate a configuration tree of mappings, lists and scalars.

    Args:
        node: the tree; mappings with `_target_` become objects, everything else stays data.
        allow: dotted prefixes of further packages that targets may come from.
        extra: keyword arguments added to the root node.

    Raises:
        PolicyError: a target outside the allowed packages, an unknown one, or wrong arguments.
    """
    if isinstance(node, Mapping):
        arguments = {
            str(key): build(value, allow)
            for key, value in node.items()
            if key not in ("_target_", "_partial_")
        }
        if "_target_" not in node:
            return arguments
        return _call(str(node["_target_"]), bool(node.get("_partial_")), allow, arguments | extra)
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [build(item, allow) for item in node]
    return node


def _call(target: str, partial: bool, allow: Sequence[str], arguments: dict[str, Any]) -> Any:
    factory = _locate(target, allow)
    if partial:
        return functools.partial(factory, **arguments)
    try:
        return factory(**arguments)
    except TypeError as error:
        raise PolicyError(f"cannot build {target}: {error}") from error


def _locate(target: str, allow: Sequence[str]) -> Any:
    if not any(target.startswith(f"{prefix}.") for prefix in (_OURS, *allow)):
        raise PolicyError(
            f"refusing to build '{target}': it is outside {_OURS}; "
            "pass allow=['its_package'] if you trust the checkpoint"
        )
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"nothing to build at '{target}': {error}") from error
