"""Nodes of a configuration, held to the signature of what they will be given to.

The typed constructor is the schema: a setting that it does not have, or a value that is not of its
type, ends the command before anything is built.
"""

from __future__ import annotations

import inspect
import pkgutil
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, get_args, get_origin

from .errors import UsageError
from .settings import refusal, unknown, value_of
from .values import Above, AtLeast, AtMost, Below, Bound

#: What a type does not say of the parameters of networks, paths, samplers and edits, by name.
BOUNDS: dict[str, tuple[Bound, ...]] = {
    **dict.fromkeys(("horizon", "n_obs_steps", "n_action_steps", "n_steps"), (AtLeast(1),)),
    **dict.fromkeys(("width", "depth", "n_heads", "n_groups", "kernel_size"), (AtLeast(1),)),
    **dict.fromkeys(("time_dim", "token_dim", "cond_embed_dim", "time_embed_dim"), (AtLeast(1),)),
    **dict.fromkeys(("token_hidden_dim", "feature_dim", "n_keypoints"), (AtLeast(1),)),
    **dict.fromkeys(("n_features", "n_iterations", "n_cycles", "image_size"), (AtLeast(1),)),
    **dict.fromkeys(("n_cond_layers", "n_samples", "between", "first", "delay"), (AtLeast(0),)),
    **dict.fromkeys(("n_candidates",), (AtLeast(1), AtMost(1024))),
    **dict.fromkeys(("expansion", "mlp_ratio", "time_scale", "rho"), (Above(0),)),
    **dict.fromkeys(("sigma_min", "sigma_max", "beta_max", "regularisation"), (Above(0),)),
    **dict.fromkeys(("clip_sample", "maximum", "gamma", "shift", "power"), (Above(0),)),
    **dict.fromkeys(("beta_min", "condition_weight"), (AtLeast(0),)),
    **dict.fromkeys(("obs_dropout", "dropout"), (AtLeast(0), Below(1))),
    **dict.fromkeys(("crop_fraction", "quantile", "start"), (Above(0), AtMost(1))),
}


def check_node(node: Any, key: str, given: Mapping[str, Collection[str]] | None = None) -> Any:
    """Return a node with the types that its constructors ask for, and so its inner nodes.

    Args:
        node: plain data; a mapping with `_target_` is held to that class's signature.
        key: its dotted name, for the message.
        given: dotted name of a node -> parameters that do not come from the configuration.

    Raises:
        UsageError: nothing stands at a target, or a setting that it does not have or allow.
    """
    if isinstance(node, list):
        return [check_node(item, f"{key}[{i}]", given) for i, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    if "_target_" not in node:
        return {name: check_node(item, f"{key}.{name}", given) for name, item in node.items()}
    target = _located(node["_target_"], key)
    special = {name: item for name, item in node.items() if str(name).startswith("_")}
    settings = {name: item for name, item in node.items() if name not in special}
    return special | check_arguments(target, settings, key, given=given)


def check_arguments(
    factory: Callable[..., Any],
    settings: Mapping[str, Any],
    key: str,
    *,
    given: Mapping[str, Collection[str]] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the settings for a constructor, converted to the types of its signature.

    Args:
        factory: the constructor, or any function.
        settings: its keyword arguments as configured.
        key: dotted name of their node, for the message.
        given: dotted name of a node -> parameters that do not come from the configuration.
        hints: types that say more than the signature's, by parameter.

    Raises:
        UsageError: a setting that the constructor does not have or allow.
    """
    parameters = inspect.signature(factory).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    types = {**_hints(factory), **(hints or {})}
    follow = (given or {}).get(key, ())
    names = [name for name in parameters if name not in follow]
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        where = f"{key}.{name}"
        if name in follow:
            raise UsageError(f"{where} is not a setting: it follows from the others; leave it out")
        if name not in parameters and not open_ended:
            raise unknown(key, name, names)
        inner = check_node(value, where, given)
        checked[name] = inner if name not in types else _checked(where, inner, types[name])
    return checked


def _checked(where: str, value: Any, hint: Any) -> Any:
    name = where.rpartition(".")[2]
    return value_of(where, value, _with_bounds(hint, BOUNDS.get(name, ())))


def _with_bounds(hint: Any, bounds: tuple[Bound, ...]) -> Any:
    """Return the hint with bounds on its numbers: those of `float | None` bind the float."""
    if not bounds or get_origin(hint) is Annotated:
        return hint
    if hint in (int, float):
        return Annotated[(hint, *bounds)]
    if type(None) in get_args(hint) and len(get_args(hint)) == 2:
        inner = next(part for part in get_args(hint) if part is not type(None))
        return _with_bounds(inner, bounds) | None
    return hint


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a constructor's parameters, as far as they can be told."""
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # a type that is imported for the type checker only
        return {}


def _located(target: Any, key: str) -> Callable[..., Any]:
    if not isinstance(target, str):
        raise refusal(f"{key}._target_", target, "give the dotted name of a class")
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{key}._target_: nothing stands at '{target}'") from error
    if not callable(found):
        raise UsageError(f"{key}._target_: '{target}' is no class")
    return found  # type: ignore[no-any-return]
