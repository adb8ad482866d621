"""Build a policy from plain configuration, without Hydra and without trusting the file.

A node is a mapping with `_target_`, a dotted name, and its keyword arguments; `_partial_: true`
gives a factory, as in `hydra.utils.instantiate`. A target is a public class of one of the rooms'
faces, and a subclass of what stands in that slot: a checkpoint can name nothing else, so reading
one runs no code that it brings along.

Files on disk hold these names, which makes them a promise: `MOVED` translates every name that a
past version wrote.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import PolicyError, unknown_name

_ROOT = __name__.rpartition(".")[0]

#: Public face, below this package -> the bases whose public subclasses may be named there.
FACES: dict[str, tuple[str, ...]] = {
    "": ("DiffusionPolicy",),
    "control": ("Execution",),
    "encoders": ("Encoder",),
    "guidance": ("Guidance", "ConstraintSet"),
    "guidance.costs": ("Cost",),
    "networks": ("Backbone",),
    "paths": ("Path",),
    "sampling": ("Sampler",),
    "sampling.grids": ("Grid",),
    "training.couplings": ("Coupling",),
    "training.objectives": ("Objective",),
    "training.times": ("TimeDistribution",),
    "training.weights": ("Weight",),
    "transforms": ("Transform",),
}

#: Module or class of a past version -> where it is now, both below this package.
MOVED = {
    "costs": "guidance.costs",
    "couplings": "training.couplings",
    "diffusion_policy": "",
    "encoders.composite": "encoders",
    "encoders.image": "encoders",
    "encoders.state": "encoders",
    "grids": "sampling.grids",
    "networks.concatenation_mlp": "networks",
    "networks.conditional_unet1d": "networks",
    "networks.dit": "networks",
    "networks.dit_cross_attention": "networks",
    "networks.dit_in_context": "networks",
    "networks.mixer": "networks",
    "networks.residual_mlp": "networks",
    "networks.transformer": "networks",
    "objectives": "training.objectives",
    "samplers": "sampling",
    "times": "training.times",
    "times.Power": "training.times.Beta",
    "weights": "training.weights",
    "weights.Uniform": "training.weights.Sample",
}

#: Class of a past version -> its arguments that have another name now.
RENAMED = {"times.Power": {"exponent": "a"}}


def build(node: Any, allow: Sequence[str] = (), **extra: Any) -> Any:
    """Instantiate a configuration tree of mappings, lists and scalars.

    Args:
        node: the tree; mappings with `_target_` become objects, everything else stays data.
        allow: other packages, which the caller trusts, whose classes may stand in a slot too.
        extra: keyword arguments added to the root node.

    Raises:
        PolicyError: a target that is none of a slot's classes, or arguments that it refuses.
    """
    if isinstance(node, Mapping):
        arguments = {
            str(key): build(value, allow)
            for key, value in node.items()
            if key not in ("_target_", "_partial_")
        }
        if "_target_" not in node:
            return arguments
        return _call(node["_target_"], bool(node.get("_partial_")), allow, arguments | extra)

    if isinstance(node, Sequence) and not isinstance(node, str):
        return [build(item, allow) for item in node]

    return node


def _call(target: Any, partial: bool, allow: Sequence[str], arguments: dict[str, Any]) -> Any:
    """Make what a target names, or a factory of it."""
    found, arguments = _current(str(target), arguments)
    cls = _locate(found, allow)
    if partial:
        return functools.partial(cls, **arguments)

    try:
        return cls(**arguments)
    except PolicyError:
        raise
    except Exception as error:  # whatever a constructor makes of arguments that make no sense
        reason = str(error).partition("\n")[0]
        raise PolicyError(f"cannot build {found}: {reason or type(error).__name__}") from error


def current_name(target: str) -> str:
    """Return today's name of a class that a past version may have named otherwise."""
    return _current(target, {})[0]


def _current(target: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return today's name of a target and today's names of its arguments."""
    if not target.startswith(f"{_ROOT}."):
        return target, arguments

    local = target.removeprefix(f"{_ROOT}.")
    names = RENAMED.get(local, {})
    arguments = {names.get(key, key): value for key, value in arguments.items()}
    if local in MOVED:
        return f"{_ROOT}.{MOVED[local]}", arguments

    module, _, name = local.rpartition(".")
    face = MOVED.get(module, module)
    return ".".join(part for part in (_ROOT, face, name) if part), arguments


def _locate(target: str, allow: Sequence[str]) -> type:
    """Return the class that a target names."""
    module, _, name = target.rpartition(".")
    face = module.removeprefix(_ROOT).removeprefix(".")
    if module.split(".")[: _ROOT.count(".") + 1] == _ROOT.split(".") and face in FACES:
        choices = dict(_classes(face))
        if name not in choices:
            raise unknown_name(f"class in {module}", name, choices)
        return choices[name]

    if any(target.startswith(f"{package}.") for package in allow):
        return _own_class(module, name)

    raise PolicyError(
        f"refusing to build '{target}': it is none of the classes that may stand in a slot of "
        f"{_ROOT}; pass allow=['its_package'] if you trust the checkpoint"
    )


def _classes(face: str) -> Iterator[tuple[str, type]]:
    """Yield the name and class of everything that may be named at a face."""
    module = importlib.import_module(f"{_ROOT}.{face}".rstrip("."))
    bases = tuple(getattr(module, base) for base in FACES[face])
    for name, value in vars(module).items():
        if _fits(value, bases) and not name.startswith("_"):
            yield name, value


def _own_class(module: str, name: str) -> type:
    """Return a class that the user brought, which must be one for a slot as well."""
    bases: tuple[type, ...] = ()
    for face, names in FACES.items():
        room = importlib.import_module(f"{_ROOT}.{face}".rstrip("."))
        bases += tuple(getattr(room, base) for base in names)

    try:
        value = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PolicyError(f"nothing to build at '{module}.{name}': {error}") from error
    if not _fits(value, bases):
        raise PolicyError(
            f"refusing to build '{module}.{name}': it is no subclass of what stands in a slot"
        )
    return value  # type: ignore[no-any-return]


def _fits(value: Any, bases: tuple[type, ...]) -> bool:
    """Return whether a value is a class that can be made and stands below one of the bases."""
    return isinstance(value, type) and issubclass(value, bases) and not inspect.isabstract(value)
