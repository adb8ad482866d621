"""How a network's output becomes an estimate of x_0: network, path and target in one object.

The raw output is F = a x_0 + b eps (see `targets`). Everything that samples, trains, guides or
measures a density asks here for F or for the x_0 that it means; nobody else inverts the algebra.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import PolicyError
from .networks import Backbone
from .paths import Path
from .sampling.table import RowEstimate, Table
from .targets import Frame, frame

#: Times in [0, 1]: one for all, one a chunk, or one a token.
BroadcastTimes = Float[Tensor, "#B"] | Float[Tensor, "#B H"]


class Denoiser:
    """A network on a noising path, read as what its target says.

    It holds no weights of its own: the policy owns the network, and this object speaks for it.

    Args:
        network: the backbone.
        path: the noising path it is trained on.
        target: what it predicts, a name in `targets.TARGETS`.
    """

    def __init__(self, network: Backbone, path: Path, target: str) -> None:
        self.network = network
        self.path = path
        self.target = target

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in; states stay at least in single precision."""
        return next(self.network.parameters()).dtype

    def level(self, t: Float[Tensor, "*shape"]) -> Frame:
        """Return alpha, sigma, a and b at times t."""
        return frame(self.target, self.path, t)

    def condition(self, encoded: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B ..."]:
        """Return the network's features of encoded observations."""
        features: Tensor = self.network.condition(encoded)
        return features

    def predict(
        self,
        x: Float[Tensor, "B H Da"],
        t: BroadcastTimes,
        condition: Float[Tensor, "#B ..."],
        r: BroadcastTimes | None = None,
    ) -> Float[Tensor, "B H Da"]:
        """Return the raw output F, the path's scaling of the input included.

        Args:
            x: states, the path's known base included.
            t: times.
            condition: what `condition` returned.
            r: the second time of a flow map, of t's shape, for networks that take one.
        """
        scale = self.path.input_scale(t)
        if scale is not None:
            x = x * per_token(scale).to(x)

        # Autocast chooses the type itself.
        seen = x if torch.is_autocast_enabled(x.device.type) else x.to(self.dtype)
        times = self.network.times(t) if r is None else self.network.times(t, r)  # type: ignore[call-arg]
        prediction: Tensor = self.network.denoise(seen, times, condition)
        return prediction.to(x)

    def estimate(
        self,
        x: Float[Tensor, "B H Da"],
        t: BroadcastTimes | Float[Tensor, ""],
        condition: Float[Tensor, "#B ..."],
        *,
        r: BroadcastTimes | None = None,
        base: Float[Tensor, "B H Da"] | None = None,
    ) -> Float[Tensor, "B H Da"]:
        """Return the x_0 estimate, without edits or clamp.

        A token whose time is 0 comes back as it is: give the tokens of a known prefix that time.

        Args:
            x: states less the path's known base.
            t: times.
            condition: what `condition` returned.
            r: as in `predict`.
            base: the path's known x_1, if it has one.
        """
        times = t.reshape(-1) if t.ndim < 2 else t
        at = per_token(times)
        seen = x if base is None else x + self.path.beta(at).to(x) * base
        return self.level(at).sample(x, self.predict(seen, times, condition, r))

    def rows(self, table: Table) -> Rows:
        """Return what a table's evaluations need beside the state and the condition."""
        return Rows(self, table)

    def check(self, table: Table) -> None:
        """Raise PolicyError where the target says nothing of x_0 at one of a table's times."""
        level = self.level(table.t)
        if bool((level.det.abs() < 1e-8).any()):
            raise PolicyError(
                f"target '{self.target}' cannot give x_0 where alpha = 0; "
                "start later (policy.sampler.grid.start=0.999) or predict 'v_prediction'"
            )


class Rows:
    """The evaluations of a table by one network; what depends on the table alone is computed here.

    Factors are numbers, or tensors `[H, 1]` where every token has a time of its own.

    Args:
        denoiser: the network on its path.
        table: the compiled solver.

    Attributes:
        table: the compiled solver.
        device: where the network computes.
        network_dtype: what the network computes in.
        dtype: that of the states: the network's, but at least single precision.
        t: the time of every evaluation.
        alphas: alpha at each of them.
        sigmas: sigma at each of them.
    """

    # Whatever mode the caller is in: tensors of inference mode could not serve a gradient later.
    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, denoiser: Denoiser, table: Table) -> None:
        self.table = table
        self.device = denoiser.device
        self.network_dtype = denoiser.dtype
        self.dtype = torch.promote_types(denoiser.dtype, torch.float32)

        level = denoiser.level(table.t)
        of_state, of_prediction = level.sample_factors
        scales = denoiser.path.input_scale(table.t)

        self.t = self._factors(table.t)
        self.alphas = self._factors(level.alpha)
        self.sigmas = self._factors(level.sigma)
        self._of_state = self._factors(of_state)
        self._of_prediction = self._factors(of_prediction)
        self._betas = self._factors(denoiser.path.beta(table.t))
        self._scales = None if scales is None else self._factors(scales)

        times = table.t.to(self.device, self.dtype)
        self._times = [denoiser.network.times(row[None]) for row in times]
        self._denoise = denoiser.network.denoise

    def estimator(
        self, condition: Float[Tensor, "B ..."], base: Float[Tensor, "B H Da"] | None = None
    ) -> RowEstimate:
        """Return the x_0 estimate as a function of (row k, state less its base `[B, H, Da]`).

        Args:
            condition: the network's features of the observations.
            base: the path's known x_1, if it has one.
        """
        combine = self._combine_tokens if self.table.per_token else self._combine
        cast = self.network_dtype != self.dtype

        def estimate(k: int, x: Tensor) -> Tensor:
            seen = x if base is None else x + self._betas[k] * base
            if self._scales is not None:
                seen = seen * self._scales[k]
            if not cast:
                return combine(k, x, self._denoise(seen, self._times[k], condition))

            prediction = self._denoise(seen.to(self.network_dtype), self._times[k], condition)
            return combine(k, x, prediction.to(x))

        return estimate

    def _factors(self, values: Float[Tensor, "N"] | Float[Tensor, "N H"]) -> list[Any]:
        """Return the factor of each row: a number, or a tensor `[H, 1]`."""
        if values.ndim == 1:
            return list(values.tolist())
        return list(values.to(self.device, self.dtype)[:, :, None].unbind())

    def _combine(self, k: int, x: Tensor, prediction: Tensor) -> Tensor:
        """Return the x_0 estimate of row k from the state and the network's prediction."""
        return torch.add(x * self._of_state[k], prediction, alpha=self._of_prediction[k])

    def _combine_tokens(self, k: int, x: Tensor, prediction: Tensor) -> Tensor:
        """As `_combine`, where every token has a time of its own."""
        return torch.addcmul(x * self._of_state[k], prediction, self._of_prediction[k])


def per_token(
    values: Float[Tensor, "B"] | Float[Tensor, "B H"],
) -> Float[Tensor, "B tokens 1"]:
    """Return values, one a chunk or one a token, in a shape that broadcasts with chunks."""
    return values[:, None, None] if values.ndim == 1 else values[:, :, None]
