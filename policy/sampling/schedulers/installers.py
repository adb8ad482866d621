"""How each kind of scheduler in diffusers is told an explicit grid.

None is left to its own spacing rule. An installer puts decreasing noise angles `[n]` into a fresh
scheduler and returns the noise angles of the states that its steps pass, the first included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

#: Noise angles `[n]` -> a scheduler's sigmas `[n]`.
Curve = Callable[[Tensor], Tensor]


def flow_sigma(angles: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return sigma where alpha + sigma = 1."""
    return angles.sin() / (angles.sin() + angles.cos())


def to_data(levels: Float[Tensor, "n"]) -> Float[Tensor, "n+1"]:
    """Return the levels with a last one at the data."""
    return torch.cat([levels, levels.new_zeros(1)])


def install_cumprod(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """DDPM and DDIM: the training grid is made the sampling grid, so each step goes t -> t - 1."""
    scheduler.register_to_config(num_train_timesteps=len(angles))
    scheduler.set_timesteps(len(angles))
    scheduler.alphas_cumprod = angles.cos().flip(0) ** 2
    return to_data(angles)


def install_pndm(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """PNDM: as DDPM, but the first step is taken twice, the second time with the mean slope."""
    install_cumprod(scheduler, angles)
    return to_data(torch.cat([angles[:2], angles[1:2], angles[2:]]))


def install_lcm(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """LCM: as DDPM with the data as time 0, where its network would be skipped."""
    n = len(angles)
    scheduler.register_to_config(num_train_timesteps=n, original_inference_steps=n)
    scheduler.set_timesteps(n)
    scheduler.timesteps = scheduler.timesteps + 1
    scheduler.alphas_cumprod = to_data(angles).cos().flip(0) ** 2
    return to_data(angles)


def install_sigmas(curve: Curve) -> Callable[[Any, Tensor], Tensor]:
    """Solvers that keep a list of sigmas: `curve` gives theirs at a noise angle."""

    def install(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
        scheduler.set_timesteps(len(angles))
        scheduler.sigmas = curve(to_data(angles))
        return to_data(angles)

    return install


def install_short(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """Solvers that cannot step to sigma = 0: they stop one step short of the data."""
    if len(angles) > 1:
        scheduler.set_timesteps(len(angles) - 1)
        scheduler.sigmas = angles.tan()
    return angles


def install_lms(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """LMS: numbers rather than tensors, since its quadrature looks each up hundreds of times."""
    scheduler.set_timesteps(len(angles))
    scheduler.sigmas = to_data(angles.tan()).tolist()
    return to_data(angles)


def install_consistency(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """Consistency models: sigmas end at sigma_min, here 0."""
    scheduler.register_to_config(num_train_timesteps=len(angles) + 1)
    return install_sigmas(torch.tan)(scheduler, angles)


def install_angles(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """sCM: its times are the noise angles themselves."""
    scheduler.set_timesteps(len(angles), max_timesteps=1.0, intermediate_timesteps=None)
    levels = to_data(angles)
    scheduler.timesteps = levels
    return levels


def install_ipndm(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """iPNDM: betas are sigmas of the variance-preserving path, alphas its alphas."""
    scheduler.set_timesteps(len(angles))
    levels = to_data(angles)
    scheduler.betas = levels.sin()
    scheduler.alphas = levels.cos()
    return levels


def install_ltx(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """Flow Euler-ancestral: it takes the sigmas themselves, in single precision."""
    scheduler.set_timesteps(sigmas=flow_sigma(to_data(angles)))
    scheduler.sigmas = flow_sigma(to_data(angles))
    return to_data(angles)


def install_pairs(curve: Curve) -> Callable[[Any, Tensor], Tensor]:
    """Heun: every inner level is evaluated twice, as corrector and as predictor."""

    def install(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
        scheduler.set_timesteps(len(angles))
        levels = torch.cat([angles[:1], angles[1:].repeat_interleave(2)])
        scheduler.sigmas = curve(to_data(levels))
        return to_data(levels)

    return install


def install_midpoints(scheduler: Any, angles: Float[Tensor, "n"]) -> Float[Tensor, "states"]:
    """KDPM2: between two levels it evaluates at their geometric mean."""
    sigmas = to_data(angles.tan())
    middles = torch.cat([sigmas[:1], (sigmas[:-1] * sigmas[1:]).sqrt()])
    scheduler.sigmas = _pairs(sigmas)
    scheduler.sigmas_interpol = _pairs(middles)
    return _alternate(scheduler, angles, middles[1:-1].atan())


def install_ancestral_midpoints(
    scheduler: Any, angles: Float[Tensor, "n"]
) -> Float[Tensor, "states"]:
    """KDPM2-ancestral: as KDPM2, to the level below which the noise is added."""
    sigmas = to_data(angles.tan())
    following = to_data(sigmas[1:])
    up = following * (1 - (following / sigmas.clamp(min=1e-300)) ** 2).sqrt()
    down = following**2 / sigmas.clamp(min=1e-300)
    middles = (sigmas * down).sqrt()

    scheduler.sigmas = _pairs(sigmas)
    scheduler.sigmas_interpol = _pairs(middles)
    scheduler.sigmas_up = _pairs(up)
    scheduler.sigmas_down = _pairs(down)
    return _alternate(scheduler, angles, middles[: len(angles) - 1].atan())


def _pairs(levels: Float[Tensor, "n"]) -> Float[Tensor, "2*n"]:
    """Return every level twice, as the scheduler looks them up."""
    return torch.cat([levels[:1], levels[1:].repeat_interleave(2), levels[-1:]])


def _alternate(
    scheduler: Any, angles: Float[Tensor, "n"], middles: Float[Tensor, "n-1"]
) -> Float[Tensor, "states"]:
    """Install the times of the levels and of the middles between them, in turn."""
    # Not by `set_timesteps`, which looks each level up in its training grid, 0.3 s for 50 steps.
    inner = torch.stack([middles, angles[1:]], 1).flatten()
    scheduler.timesteps = torch.cat([angles[:1], inner])
    scheduler.sample = None
    return to_data(scheduler.timesteps)
