"""The state of a training beside its weights, and what a resumed one must agree on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..build import current_name
from ..errors import PolicyError

#: What AdamW keeps for a parameter.
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
#: Settings that may differ: they change nothing of what is learnt.
FREE = (
    "action_bounds",
    "allow_changes",
    "device",
    "env",
    "env_kwargs",
    "env_python",
    "env_setup",
    "env_timeout",
    "evaluation",
    "family",
    "given",
    "hydra",
    "logger",
    "max_steps",
    "minutes",
    "n_threads",
    "overwrite",
    "recipe",
    "rename",
    "resume",
    "run",
    "success",
    "task",
    "trainer.best_by",
    "trainer.checkpoint_minutes",
    "trainer.evaluate_every",
    "trainer.log_every",
    "trainer.n_steps",
)


def pack(
    parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, raw: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return raw weights and moments by name, on the CPU.

    Args:
        parameters: what the optimizer knows, whatever it holds at present.
        optimizer: AdamW.
        raw: the weights as they are trained.
    """
    state = {f"weights.{name}": value for name, value in raw.items()}
    for name, parameter in parameters.items():
        # A parameter that never had a gradient has no moments.
        for key, value in optimizer.state.get(parameter, {}).items():
            state[f"{key}.{name}"] = value
    return {key: value.detach().cpu() for key, value in state.items()}


def unpack(
    state: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    folder: Path,
) -> None:
    """Put what `pack` returned back into the parameters and the optimizer.

    Raises:
        PolicyError: the state is that of another network.
    """
    expected = {f"weights.{name}" for name in parameters}
    found = {key for key in state if key.startswith("weights.")}
    if expected != found:
        odd = sorted(expected ^ found)[0].removeprefix("weights.")
        raise PolicyError(f"'{folder}' was trained with another network: they differ in '{odd}'")

    for name, parameter in parameters.items():
        value = state[f"weights.{name}"]
        if value.shape != parameter.shape:
            raise PolicyError(
                f"'{folder}' was trained with another network: '{name}' has shape "
                f"{list(value.shape)} there and {list(parameter.shape)} here"
            )

        parameter.data.copy_(value)
        for key in MOMENTS:
            if f"{key}.{name}" in state:
                device = parameter.device
                optimizer.state[parameter][key] = state[f"{key}.{name}"].to(device)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what two configurations disagree on, one line a setting, but for the `FREE` ones."""
    before = dict(_leaves(old))
    after = dict(_leaves(new))
    names = [name for name in {**before, **after} if not _is_free(name)]
    return [
        f"{name} was {_shown(before, name)}, is {_shown(after, name)}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of every setting that is given."""
    pairs: Iterable[tuple[Any, Any]] = tree.items()
    for key, value in pairs:
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        elif key == "_target_":
            yield name, current_name(str(value))
        elif value is not None:  # a setting that a past version lacked counts as not given
            yield name, list(value) if isinstance(value, (list, tuple)) else value


def _is_free(name: str) -> bool:
    """Return whether a setting, or what holds it, may differ."""
    return any(name == free or name.startswith(f"{free}.") for free in FREE)


def _shown(leaves: Mapping[str, Any], name: str) -> str:
    """Return a setting's value for a message."""
    return str(leaves[name]) if name in leaves else "not given"
