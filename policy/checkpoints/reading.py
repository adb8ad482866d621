"""Read what a stranger may have written: bounded, plain data, one clear line for every fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import PolicyError
from ..sampling import Table

#: Bytes of a configuration; those of our own runs have a few thousand.
MAX_TEXT = 1 << 20
#: Values in a configuration once its aliases are written out.
MAX_VALUES = 20_000
#: Mappings and lists within one another.
MAX_DEPTH = 40
#: Evaluations of a sampler; DDPM's own has 1000.
MAX_EVALUATIONS = 4096


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """Return the text of a small file.

    Raises:
        PolicyError: it is missing, too large, or no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise PolicyError(f"cannot read '{path}': {error.strerror or error}") from error
    if len(content) > limit:
        raise PolicyError(f"'{path}' is larger than {limit >> 20} MiB; it is none of ours")

    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"'{path}' is no text; use another checkpoint") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file as mappings with string keys, lists and scalars; nothing is resolved.

    Raises:
        PolicyError: it cannot be read, is no mapping, or holds too much.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        tree = yaml.load(read_text(path), loader)  # a safe loader: plain data only
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise PolicyError(
            f"'{path}' is no valid YAML ({reason}); use another checkpoint"
        ) from error
    return _mapping(path, tree)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file's object.

    Raises:
        PolicyError: it cannot be read, or is no object.
    """
    try:
        tree = json.loads(read_text(path, 16 * MAX_TEXT))
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"'{path}' is no valid JSON ({error}); use another checkpoint") from error
    if not isinstance(tree, dict):
        raise PolicyError(f"'{path}' holds no mapping; use another checkpoint")
    return tree


def _mapping(path: Path, tree: Any) -> dict[str, Any]:
    """Return the tree of a YAML file, once it is known to be a bounded one of plain data."""
    if not isinstance(tree, dict):
        raise PolicyError(f"'{path}' holds no mapping; use another checkpoint")

    # Aliases share one object, so a small file can stand for an endless tree.
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise PolicyError(f"'{path}' holds too many or too deeply nested values")

        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise PolicyError(f"'{path}' has keys that are no names; use another checkpoint")
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
        elif isinstance(value, str) and "${" in value:
            raise PolicyError(f"'{path}' is not resolved: it holds '{value[:40]}'")
        elif isinstance(value, (set, bytes)):
            raise PolicyError(f"'{path}' holds a {type(value).__name__}; use another checkpoint")
    return tree


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        PolicyError: the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise PolicyError(f"cannot read '{path}': {error}; use another checkpoint") from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a safetensors file, without reading them.

    Raises:
        PolicyError: the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise PolicyError(f"cannot read '{path}': {error}; use another checkpoint") from error


def read_table(path: Path) -> Table:
    """Return the sampler's table.

    Raises:
        PolicyError: the file is damaged, or holds no table of a solver.
    """
    tensors = read_tensors(path)
    fault = _table_fault(tensors)
    if fault is not None:
        raise PolicyError(f"'{path}' is no sampler's table: {fault}; give sampler=... instead")
    return Table(**{name: tensor.double() for name, tensor in tensors.items()})


def _table_fault(tensors: Mapping[str, Tensor]) -> str | None:
    """Return what keeps tensors from being a table, None if they are one."""
    if set(tensors) != {"t", "init", "estimate", "noise"}:
        return f"it holds {sorted(tensors)[:8]}"

    t, init, estimate, noise = (tensors[name] for name in ("t", "init", "estimate", "noise"))
    if t.ndim not in (1, 2) or not 1 <= len(t) <= MAX_EVALUATIONS:
        return f"its times have shape {list(t.shape)}"

    n = len(t)
    tokens = tuple(t.shape[1:])
    expected = {"init": (n + 1, *tokens), "estimate": (n + 1, n, *tokens)}
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            return f"'{name}' has shape {list(tensors[name].shape)} and not {list(shape)}"
    if noise.ndim != 2 + len(tokens) or noise.shape[0] != n + 1 or noise.shape[2:] != tokens:
        return f"'noise' has shape {list(noise.shape)}"
    if noise.shape[1] > MAX_EVALUATIONS:
        return f"it draws {noise.shape[1]} noises"

    if not all(each.is_floating_point() for each in (t, init, estimate, noise)):
        return "it holds no real numbers"
    if not all(bool(each.isfinite().all()) for each in (t, init, estimate, noise)):
        return "it holds numbers that are not finite"
    if bool((t < 0).any()) or bool((t > 1).any()):
        return "its times leave [0, 1]"
    rows, columns = torch.triu_indices(n + 1, n)
    if bool((estimate[rows, columns] != 0).any()):
        return "a row depends on estimates that come after it"
    return None
