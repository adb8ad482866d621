"""What a sampler's table needs of a policy, computed once a table and not once a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .targets import frame

if TYPE_CHECKING:
    from .diffusion_policy import DiffusionPolicy


class Plan:
    """The factors and the network's time features of every row of a policy's table.

    Factors are numbers, or tensors `[H, 1]` where every token has a time of its own.
    """

    # Whatever mode the caller is in: tensors of inference mode could not serve a gradient later.
    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, policy: DiffusionPolicy) -> None:
        self.device = next(policy.parameters()).device
        path, t = policy.path, policy.table.t
        level, scales = frame(policy.objective.target, path, t), path.input_scale(t)
        self.from_state = self._rows(level.b / level.det)
        self.from_prediction = self._rows(-level.sigma / level.det)
        self.alphas, self.sigmas = self._rows(level.alpha), self._rows(level.sigma)
        self.betas = self._rows(path.beta(t))
        self.input_scales = None if scales is None else self._rows(scales)
        self.times = [policy.network.times(row[None]) for row in t.float().to(self.device)]
        self.combine = self._combine_tokens if policy.table.per_token else self._combine

    def _rows(self, values: Tensor) -> list[Any]:
        if values.ndim == 1:
            return list(values.tolist())
        return list(values.float().to(self.device)[:, :, None].unbind())

    def _combine(self, k: int, x: Tensor, prediction: Tensor) -> Tensor:
        """Return the x_0 estimate of row k from the state and the network's prediction."""
        return torch.add(x * self.from_state[k], prediction, alpha=self.from_prediction[k])

    def _combine_tokens(self, k: int, x: Tensor, prediction: Tensor) -> Tensor:
        return torch.addcmul(x * self.from_state[k], prediction, self.from_prediction[k])
