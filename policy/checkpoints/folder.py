"""Checkpoints: safetensors, YAML and JSON in one folder, written atomically, never pickled.

policy.safetensors    averaged weights and normalisation: all that running needs
table.safetensors     the compiled sampler, so that running imports neither diffusers nor Hydra
config.yaml           the resolved configuration; its `policy` node rebuilds the policy
meta.json             step, metrics, versions
training.safetensors  raw weights and optimizer, for resuming (optional)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..errors import PolicyError
from ..sampling import Table
from .atomic import aside, atomic_folder
from .reading import read_json, read_yaml

#: Version of the layout, written into meta.json.
FORMAT = 1
_PACKAGES = ("kinoise", "torch", "diffusers", "numpy", "safetensors", "mujoco")


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that shape a checkpoint."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def save_checkpoint(
    path: str | Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    table: Table,
    step: int = 0,
    metrics: Mapping[str, Any] | None = None,
    training: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint folder atomically and return its path.

    Args:
        path: the folder to write; an older one of that name is replaced.
        config: resolved configuration; its "policy" node rebuilds the policy.
        weights: the policy's state dict, averaged weights included.
        table: the compiled default sampler.
        step: optimizer steps taken.
        metrics: anything JSON can hold.
        training: raw weights and optimizer state, for resuming.

    Raises:
        PolicyError: something else stands at the path, or the disk refuses, being full for
            example; what was there is as it was.
    """
    path = Path(path)
    if path.exists() and not is_checkpoint(path):
        raise PolicyError(
            f"'{path}' exists and is no checkpoint; it is left as it is, give another name"
        )

    meta = {"format": FORMAT, "step": step, "metrics": metrics or {}, "versions": versions()}
    tensors = {"policy": weights, "table": table.tensors(), "training": training or {}}

    try:
        with atomic_folder(path) as folder:
            for name, group in tensors.items():
                if group:
                    save_file(_packed(group), folder / f"{name}.safetensors")

            (folder / "config.yaml").write_text(
                yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False)
            )
            (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    except (SafetensorError, OSError) as error:
        raise PolicyError(
            f"cannot write checkpoint '{path}' at step {step}: {error}; free some space and "
            "continue with resume=true; earlier checkpoints are kept"
        ) from error
    return path


def is_checkpoint(path: Path) -> bool:
    """Return whether a folder is a checkpoint of ours, and may be replaced by another."""
    return (path / "policy.safetensors").is_file() and (path / "meta.json").is_file()


def record_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Add metrics to a checkpoint's meta.json, atomically; its tensors stay as they are."""
    meta = read_meta(path)
    meta["metrics"] = {**meta["metrics"], **metrics}
    temporary = path / f".meta.json.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(meta, indent=2) + "\n")
    temporary.replace(path / "meta.json")


def link(target: Path, name: str) -> None:
    """Point the relative link `name` beside `target` to it, atomically."""
    temporary = target.parent / f".{name}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.name)
    temporary.replace(target.parent / name)


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint folder that `path` means: itself, or a run's best or last one.

    Raises:
        PolicyError: nothing there, or nothing usable; names the nearest existing path.
    """
    path = Path(path)
    candidates = [path] + [base / n for base in (path / "checkpoints", path) for n in _PREFERRED]
    for candidate in candidates:
        if (candidate / "policy.safetensors").is_file():
            return candidate

    if (aside(path) / "policy.safetensors").is_file():  # a kill while it was replaced
        return aside(path)
    if path.exists():
        raise PolicyError(f"no checkpoint in '{path}': it holds no policy.safetensors")

    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=1)
    hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
    raise PolicyError(f"no checkpoint at '{path}'{hint}")


_PREFERRED = ("best", "last")


def read_meta(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's meta.json.

    Raises:
        PolicyError: no checkpoint there, or one whose meta.json is damaged.
    """
    folder = find_checkpoint(path)
    meta = read_json(folder / "meta.json")
    if not isinstance(meta.get("step"), int) or not isinstance(meta.get("metrics"), dict):
        raise PolicyError(f"'{folder / 'meta.json'}' lacks step or metrics; use another checkpoint")
    return meta


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the resolved configuration a checkpoint was trained with, as plain data.

    Raises:
        PolicyError: no checkpoint there, or one whose config.yaml is damaged.
    """
    return read_yaml(find_checkpoint(path) / "config.yaml")


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Plain data, written out: an alias would make the file harder to read and to check."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU, since safetensors refuses tensors that share memory."""
    return {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}
