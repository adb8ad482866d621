"""What a network predicts, in one algebra: F = a x_0 + b eps on the path x = alpha x_0 + sigma eps.

With det = alpha b - sigma a, every target gives back
    x_0 = (b x - sigma F) / det        eps = (alpha F - a x) / det,
so all conversions are these two lines. Names are those of diffusers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import unknown_name
from .paths import SIGMA_DATA, Path

#: (path, times of any shape) -> a and b there.
Coefficients = Callable[[Path, Tensor], tuple[Tensor, Tensor]]


def _edm(
    path: Path, t: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """F = -v in the coordinates (x_0 / sigma_data, eps) (Karras et al. 2022, eq. 8)."""
    alpha = path.alpha(t) * SIGMA_DATA
    sigma = path.sigma(t)
    length = torch.hypot(alpha, sigma)
    return sigma / (SIGMA_DATA * length), -alpha / length


#: target name -> (a, b) as functions of the path and the time.
TARGETS: dict[str, Coefficients] = {
    # Ho et al. 2020
    "epsilon": lambda path, t: (torch.zeros_like(t), torch.ones_like(t)),
    "sample": lambda path, t: (torch.ones_like(t), torch.zeros_like(t)),
    # Salimans & Ho 2022, appendix D
    "v_prediction": lambda path, t: (-path.sigma(t), path.alpha(t)),
    # Lipman et al. 2023, eq. 15: d x_t / d t
    "velocity": lambda path, t: (path.alpha_rate(t), path.sigma_rate(t)),
    # Song et al. 2021: grad log p = -eps / sigma
    "score": lambda path, t: (torch.zeros_like(t), -1 / path.sigma(t)),
    "edm": _edm,
}


@dataclass(frozen=True)
class Frame:
    """The numbers of noise levels; their shape broadcasts with the chunks that they meet.

    Attributes:
        alpha: the path's factor of the data.
        sigma: the path's factor of the noise.
        a: the target's factor of the data.
        b: the target's factor of the noise.
    """

    alpha: Float[Tensor, "*shape"]
    sigma: Float[Tensor, "*shape"]
    a: Float[Tensor, "*shape"]
    b: Float[Tensor, "*shape"]

    @property
    def det(self) -> Float[Tensor, "*shape"]:
        """The determinant alpha b - sigma a of the algebra."""
        return self.alpha * self.b - self.sigma * self.a

    def noised(
        self, sample: Float[Tensor, "*chunk"], epsilon: Float[Tensor, "*chunk"]
    ) -> Float[Tensor, "*chunk"]:
        """Return x_t for the data `sample` and the noise `epsilon`."""
        return self.alpha * sample + self.sigma * epsilon

    def target(
        self, sample: Float[Tensor, "*chunk"], epsilon: Float[Tensor, "*chunk"]
    ) -> Float[Tensor, "*chunk"]:
        """Return F, what the network should say."""
        return self.a * sample + self.b * epsilon

    @property
    def sample_factors(self) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """The factors of the state and of F in the x_0 estimate, (b / det, -sigma / det)."""
        return self.b / self.det, -self.sigma / self.det

    def sample(
        self, x: Float[Tensor, "*chunk"], prediction: Float[Tensor, "*chunk"]
    ) -> Float[Tensor, "*chunk"]:
        """Return the x_0 estimate that the prediction F at x implies."""
        of_state, of_prediction = self.sample_factors
        return x * of_state.to(x) + prediction * of_prediction.to(x)

    def epsilon(
        self, x: Float[Tensor, "*chunk"], prediction: Float[Tensor, "*chunk"]
    ) -> Float[Tensor, "*chunk"]:
        """Return the noise estimate that the prediction F at x implies."""
        return (self.alpha * prediction - self.a * x) / self.det


def frame(target: str, path: Path, t: Float[Tensor, "*shape"]) -> Frame:
    """Return the algebra of `target` on `path` at times t.

    Raises:
        PolicyError: the target has no such name.
    """
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    a, b = TARGETS[target](path, t)
    return Frame(alpha=path.alpha(t), sigma=path.sigma(t), a=a, b=b)


def convert(
    prediction: Float[Tensor, "*chunk"],
    x: Float[Tensor, "*chunk"],
    path: Path,
    t: Float[Tensor, "*shape"],
    source: str,
    to: str,
) -> Float[Tensor, "*chunk"]:
    """Return a prediction of target `source` at x as the equivalent one of target `to`."""
    given = frame(source, path, t)
    wanted = frame(to, path, t)
    return wanted.target(given.sample(x, prediction), given.epsilon(x, prediction))
