"""What a policy makes of episodes that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from ..diffusion_policy import DiffusionPolicy
from .feeding import Batch, to_device

#: Gives all held-out windows once, as batches.
Validation = Callable[[], Iterable[Batch]]


@torch.no_grad()
def validate(policy: DiffusionPolicy, batches: Iterable[Batch], seed: int) -> dict[str, float]:
    """Return the loss and the error of sampled actions on held-out batches.

    Times, noise and chunks are drawn from the seed, so that two checkpoints see the same ones. The
    error is the root of the mean square over the actions that would be executed, in units of the
    data's own spread; neither figure predicts success, which rollouts alone can tell.

    Args:
        policy: the policy, in evaluation mode.
        batches: held-out batches {"obs", "action" `[B, H, Da]`, "mask" `[B, H]`}.
        seed: of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    device = policy.denoiser.device
    first = policy.n_obs_steps - 1
    executed = slice(first, first + policy.n_action_steps)
    loss = 0.0
    square = 0.0
    rows = 0
    numbers = 0.0

    # Some objectives and layers draw from torch's own generator.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for each in batches:
            batch = to_device(each, device)
            size = len(batch["action"])
            with torch.enable_grad():  # score matching needs slopes even here
                loss += policy.compute_loss(batch, generator).item() * size

            planned = policy.sample(batch["obs"], generator)[:, executed]
            wanted = batch["action"][:, executed]
            error = policy.border.in_spreads(planned) - policy.border.in_spreads(wanted)

            real = torch.ones_like(error[..., 0])
            if batch.get("mask") is not None:
                real = batch["mask"][:, executed].to(error)
            square += float((error.square().mean(-1) * real).sum())
            numbers += float(real.sum())
            rows += size

    return {
        "validation_loss": loss / max(1, rows),
        "action_error": (square / max(1.0, numbers)) ** 0.5,
    }
