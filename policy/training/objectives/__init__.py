"""Training losses: regression, the variational bound, score matching."""

from .denoising import Denoising
from .objective import Network, Noised, Objective, masked_mean
from .score_matching import SlicedScoreMatching
from .variational_bound import VariationalBound

__all__ = [
    "Denoising",
    "Network",
    "Noised",
    "Objective",
    "SlicedScoreMatching",
    "VariationalBound",
    "masked_mean",
]
