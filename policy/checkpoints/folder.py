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
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..build import build
from ..diffusion_policy import DiffusionPolicy
from ..errors import PolicyError
from ..sampling.sampler import Sampler
from ..sampling.table import Table

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


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block succeeds, or vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
        PolicyError: the disk refuses, being full for example; what was there is as it was.
    """
    path = Path(path)
    meta = {"format": FORMAT, "step": step, "metrics": metrics or {}, "versions": versions()}
    tensors = {"policy": weights, "table": table.tensors(), "training": training or {}}
    try:
        with atomic_folder(path) as folder:
            for name, group in tensors.items():
                if group:
                    save_file(_packed(group), folder / f"{name}.safetensors")
            (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
            (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    except (SafetensorError, OSError) as error:
        raise PolicyError(
            f"cannot write checkpoint '{path}' at step {step}: {error}; free some space and "
            "continue with resume=true; earlier checkpoints are kept"
        ) from error
    return path


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
    if path.exists():
        raise PolicyError(f"no checkpoint in '{path}': it holds no policy.safetensors")
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=1)
    hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
    raise PolicyError(f"no checkpoint at '{path}'{hint}")


_PREFERRED = ("best", "last")


def read_meta(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's meta.json."""
    return dict(json.loads(_read(find_checkpoint(path) / "meta.json")))


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the resolved configuration a checkpoint was trained with."""
    return dict(yaml.safe_load(_read(find_checkpoint(path) / "config.yaml")))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        PolicyError: the file is missing or damaged.
    """
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise PolicyError(f"cannot read '{path}': {error}; use another checkpoint") from error


def load_policy(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    sampler: Mapping[str, Any] | Sampler | None = None,
    guidance: Sequence[Any] | None = None,
    allow: Sequence[str] = (),
) -> DiffusionPolicy:
    """Load a policy for running: averaged weights, evaluation mode, no pickle.

    Args:
        path: a checkpoint folder, or a run folder (its best checkpoint, else its last).
        device: where the policy computes.
        sampler: another sampler than the stored one, as a configuration node or object.
        guidance: other edits of the x_0 estimate than the stored ones, as nodes or objects.
        allow: packages outside Kinoise whose classes the checkpoint may name.

    Raises:
        PolicyError: no checkpoint there, a damaged one, or one that names foreign code.
    """
    folder = find_checkpoint(path)
    node = dict(read_config(folder)["policy"])
    if sampler is None:
        node["sampler"] = Table(**read_tensors(folder / "table.safetensors"))
    else:
        node["sampler"] = sampler
    if guidance is not None:
        node["guidance"] = guidance
    policy: DiffusionPolicy = build(node, allow)
    try:
        policy.load_state_dict(read_tensors(folder / "policy.safetensors"))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise PolicyError(f"'{folder}' does not fit its own configuration: {first}") from error
    return policy.to(device).eval()


def _packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise PolicyError(f"cannot read '{path}': {error.strerror}") from error
