"""The probability-flow ODE of a Gaussian path, from data to noise and back.

In coordinates where it diverges nowhere: the state is u = x / |(alpha, sigma)|, which is
cos(theta) x_0 + sin(theta) eps at the noise angle theta, and the time is s = log(theta):
    du/ds = (theta / sin theta) (cos(theta) u - x0_hat),
the same for every path. (Song et al. 2021, eq. 13, is this in the path's own time; it has 1 / sigma
at one end and alpha' / alpha at the other.) Equal steps of s are equal steps of log-SNR near the
data, so fine structure of any size is resolved, and they end at pure noise after finitely many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import PolicyError
from ..paths import Path
from ..sampling.table import TimeEstimate

#: The angle that stands for the data: normal noise of this deviation, in normalised units.
FLOOR = 1e-3


@dataclass(frozen=True)
class FlowLevel:
    """What the ODE needs of one noise level.

    Attributes:
        t: the time.
        angle: the noise angle theta.
        length: |(alpha, sigma)|.
        cos: the cosine of the angle.
        pace: theta / sin(theta).
    """

    t: Float[Tensor, ""]
    angle: float
    length: float
    cos: float
    pace: float


#: A level and the state there.
Walked = tuple[FlowLevel, Tensor]


@dataclass(frozen=True)
class ProbabilityFlow:
    """The probability-flow ODE of a path whose x_0 estimate is known.

    Attributes:
        path: the noising path; of one with a base, the part that is not the base.
        estimate: x_0 from (x_t, t), differentiable if the divergence is wanted.
        floor: the noise angle that stands for the data, above 0.
        ceiling: the noise angle that stands for pure noise.
    """

    path: Path
    estimate: TimeEstimate
    floor: float = FLOOR
    ceiling: float = math.pi / 2

    @property
    def ends(self) -> tuple[float, float]:
        """The logarithms of the angles of data and noise, both of them on the path."""
        ends = self.path.angle(torch.tensor([0.0, 1.0], dtype=torch.float64))
        first, last = ends.clamp(self.floor, self.ceiling).log().tolist()
        return first, last

    def levels(self, s: Float64[Tensor, "N"]) -> list[FlowLevel]:
        """Return the noise levels at log angles s."""
        angle = s.exp()
        with torch.no_grad():
            t = self.path.time_at(angle)
            length = torch.hypot(self.path.alpha(t), self.path.sigma(t))
        columns = (angle, length, angle.cos(), angle / angle.sin())
        rows = zip(t.unbind(), *(column.tolist() for column in columns), strict=True)
        return [FlowLevel(*row) for row in rows]

    def x0(self, u: Float[Tensor, "*shape"], level: FlowLevel) -> Float[Tensor, "*shape"]:
        """Return the x_0 estimate at the state u."""
        return self.estimate(level.length * u, level.t.to(u.device))

    def velocity(self, u: Float[Tensor, "*shape"], level: FlowLevel) -> Float[Tensor, "*shape"]:
        """Return du/ds."""
        return level.pace * (level.cos * u - self.x0(u, level))

    def walk(
        self, u: Float[Tensor, "*shape"], n_steps: int, *, to_data: bool = False
    ) -> Iterator[Walked]:
        """Yield the level and the state at each of the n_steps + 1 grid points, by RK4."""
        grid = torch.linspace(*self.ends, 2 * n_steps + 1, dtype=torch.float64)
        if to_data:
            grid = grid.flip(0)
        h = float(grid[2] - grid[0])
        levels = self.levels(grid)

        yield levels[0], u
        for start, middle, stop in zip(levels[:-1:2], levels[1::2], levels[2::2], strict=True):
            k1 = self.velocity(u, start)
            k2 = self.velocity(u + h / 2 * k1, middle)
            k3 = self.velocity(u + h / 2 * k2, middle)
            k4 = self.velocity(u + h * k3, stop)
            u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            yield stop, u

    def to_noise(
        self, sample: Float[Tensor, "*shape"], n_steps: int = 100, tolerance: float | None = None
    ) -> Float[Tensor, "*shape"]:
        """Return the state x_1 that `sample` flows to.

        By RK4 with `n_steps`, or by the adaptive solver where a tolerance is given.
        """
        start, stop = self.ends
        u = self._solve(self.start(sample), start, stop, n_steps, tolerance)
        return self.at(stop).length * u

    def to_data(
        self, x: Float[Tensor, "*shape"], n_steps: int = 100, tolerance: float | None = None
    ) -> Float[Tensor, "*shape"]:
        """Return the sample that the state x_1 flows to: `to_noise` undone."""
        stop, start = self.ends
        u = self._solve(x / self.at(start).length, start, stop, n_steps, tolerance)
        return u / self.at(stop).cos

    def start(self, sample: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the state u that stands for the data `sample` at the floor."""
        return self.at(self.ends[0]).cos * sample

    def at(self, s: float) -> FlowLevel:
        """Return the noise level at the log angle s."""
        return self.levels(torch.tensor([s], dtype=torch.float64))[0]

    def _solve(
        self,
        u: Float[Tensor, "*shape"],
        start: float,
        stop: float,
        n_steps: int,
        tolerance: float | None,
    ) -> Float[Tensor, "*shape"]:
        """Return the state at the log angle `stop`, from u at `start`."""
        if tolerance is not None:
            return adaptive(lambda s, u: self.velocity(u, self.at(s)), u, start, stop, tolerance)

        *_, (_, u) = self.walk(u, n_steps, to_data=stop < start)
        return u


def adaptive(
    slope: Callable[[float, Tensor], Tensor],
    state: Float[Tensor, "*shape"],
    start: float,
    stop: float,
    tolerance: float = 1e-6,
) -> Float[Tensor, "*shape"]:
    """Solve d state / ds = slope(s, state) from `start` to `stop` (Dormand & Prince 1980).

    Args:
        slope: the right-hand side.
        state: the state at `start`.
        start: where to begin.
        stop: where to end.
        tolerance: relative and absolute error of a step.

    Raises:
        PolicyError: torchdiffeq is not installed.
    """
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise PolicyError(
            "the adaptive solver needs torchdiffeq: pip install 'kinoise[theory]'"
        ) from error

    length = stop - start

    def scaled(r: Tensor, state: Tensor) -> Tensor:
        """Return the slope in the part r of the way that has been gone."""
        return length * slope(start + length * float(r), state)

    solved: Tensor = odeint(
        scaled,
        state,
        torch.tensor([0.0, 1.0], dtype=torch.float64, device=state.device),
        rtol=tolerance,
        atol=tolerance,
        method="dopri5",
        # Left to itself it would try a step far beyond the end, where there is no path.
        options={"first_step": 0.01, "step_t": [1.0]},
    )
    return solved[-1]


def reference_chunk(
    path: Path,
    estimate: TimeEstimate,
    noise: Float[Tensor, "*shape"],
    *,
    tolerance: float | None = None,
    n_steps: int = 1000,
    floor: float = FLOOR,
) -> Float[Tensor, "*shape"]:
    """Return where the exact ODE brings the noise of a sampler: a yardstick for its error.

    Args:
        path: the path of the estimate.
        estimate: as a sampler uses it, edits and clamp included if they are wanted.
        noise: standard normal `[B, ...]`, the first noise of `run_table`.
        tolerance: use the adaptive solver with this one; None for RK4.
        n_steps: steps of RK4.
        floor: the noise angle of the last evaluation; from there the estimate is the answer, as it
            is for every sampler's last step.
    """
    flow = ProbabilityFlow(path, estimate, floor=floor)
    x = noise * float(path.sigma(torch.ones((), dtype=torch.float64)))
    sample = flow.to_data(x, n_steps, tolerance)
    return flow.x0(flow.start(sample), flow.at(flow.ends[0]))
