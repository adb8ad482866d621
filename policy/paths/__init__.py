"""The noising paths: how data turn into noise."""

from collections.abc import Callable
from functools import partial

from .interpolant import Interpolant
from .learned import LearnedGamma
from .linear_flow import LinearFlow
from .path import SIGMA_DATA, Path
from .shift import shifted
from .variance_exploding import EDM, VEGeometric
from .variance_preserving import SubVP, Trigonometric, VPCosine, VPLinear

#: Names by which a sampler may ask for a path, each with its default settings.
PATHS: dict[str, Callable[[], Path]] = {
    "edm": EDM,
    "generalised_vp": partial(Trigonometric, exponent=1.5),
    "interpolant": Interpolant,
    "linear_flow": LinearFlow,
    "sub_vp": SubVP,
    "trigonometric": Trigonometric,
    "ve": VEGeometric,
    "vp_cosine": VPCosine,
    "vp_linear": VPLinear,
}

__all__ = [
    "EDM",
    "PATHS",
    "SIGMA_DATA",
    "Interpolant",
    "LearnedGamma",
    "LinearFlow",
    "Path",
    "SubVP",
    "Trigonometric",
    "VEGeometric",
    "VPCosine",
    "VPLinear",
    "shifted",
]
