"""Make a policy of a checkpoint folder, without trusting what the folder says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..build import build
from ..control import Execution
from ..diffusion_policy import DiffusionPolicy
from ..errors import PolicyError
from ..sampling import Sampler
from .folder import find_checkpoint, read_config
from .reading import read_shapes, read_table, read_tensors

#: Functions that make a tensor out of sizes.
_FACTORIES = {
    torch.arange,
    torch.empty,
    torch.eye,
    torch.full,
    torch.linspace,
    torch.ones,
    torch.rand,
    torch.randint,
    torch.randn,
    torch.zeros,
}
#: Numbers that a policy may make beside its weights: positions, frequencies, initial values.
_SPARE = 1 << 16
#: The largest whole number that a small policy's settings may hold.
_LARGEST = 100_000


def load_policy(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    sampler: Mapping[str, Any] | Sampler | None = None,
    guidance: Sequence[Any] | None = None,
    execution: Mapping[str, Any] | Execution | None = None,
    allow: Sequence[str] = (),
) -> DiffusionPolicy:
    """Load a policy for running: averaged weights, evaluation mode.

    The folder may come from anywhere: no code of its is run, and a policy larger than its own
    weights is refused before it takes memory.

    Args:
        path: a checkpoint folder, or a run folder (its best checkpoint, else its last).
        device: where the policy computes.
        sampler: another sampler than the stored one, as a configuration node or object.
        guidance: other edits of the x_0 estimate than the stored ones, as nodes or objects.
        execution: another way to execute chunks than the stored one, as a node or object.
        allow: packages outside Kinoise whose classes the checkpoint may name.

    Raises:
        PolicyError: no checkpoint there, a damaged one, or one that names foreign code.
    """
    folder = find_checkpoint(path)
    node = read_config(folder).get("policy")
    if not isinstance(node, dict):
        raise PolicyError(f"'{folder}' describes no policy in its config.yaml")

    node = dict(node)
    node["sampler"] = read_table(folder / "table.safetensors") if sampler is None else sampler
    if guidance is not None:
        node["guidance"] = guidance
    if execution is not None:
        node["execution"] = execution

    shapes = read_shapes(folder / "policy.safetensors")
    weights = sum(int(torch.Size(shape).numel()) for shape in shapes.values())

    _check_numbers(folder, node, max(weights, _LARGEST))
    with _Budget(folder, weights):
        policy = build(node, allow)
    if not isinstance(policy, DiffusionPolicy):
        raise PolicyError(f"'{folder}' describes a {type(policy).__name__}, and no policy")

    _fill(policy, folder, shapes)
    return policy.to(device).eval()


def _check_numbers(folder: Path, node: Any, largest: int) -> None:
    """Refuse sizes beyond what the weights could fill, before anything is built of them."""
    if isinstance(node, Mapping):
        for value in node.values():
            _check_numbers(folder, value, largest)
    elif isinstance(node, list):
        for value in node:
            _check_numbers(folder, value, largest)
    elif isinstance(node, int) and abs(node) > largest:
        raise PolicyError(f"'{folder}' describes a policy of size {node}; its weights are fewer")


def _fill(policy: DiffusionPolicy, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Load the weights, whose names and shapes must be the policy's own."""
    for name, tensor in policy.state_dict().items():
        if name in shapes and shapes[name] != tuple(tensor.shape):
            raise PolicyError(
                f"'{folder}' does not fit its own configuration: '{name}' has shape "
                f"{list(shapes[name])} and should have {list(tensor.shape)}"
            )

    weights = read_tensors(folder / "policy.safetensors")
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise PolicyError(
                f"'{folder}' holds weights that are not finite ('{name}'); use another checkpoint"
            )

    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise PolicyError(f"'{folder}' does not fit its own configuration: {first}") from error


class _Budget(TorchFunctionMode):
    """Refuses to make more numbers than a checkpoint's weights can account for.

    Args:
        folder: the checkpoint, for the message.
        weights: how many numbers its weights hold.
    """

    def __init__(self, folder: Path, weights: int) -> None:
        super().__init__()
        self.folder = folder
        # Parameters are made once, and some once more by their initialisation.
        self.left = 4 * weights + _SPARE

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES:
            shape_only = {key: kwargs[key] for key in kwargs if key not in ("device", "generator")}
            self.left -= func(*args, **shape_only, device="meta").numel()
            if self.left < 0:
                raise PolicyError(
                    f"'{self.folder}' describes a policy larger than its weights; it is damaged"
                )
        return func(*args, **kwargs)
