"""Training losses: regression, the variational bound, score matching."""

from .denoising import Denoising
from .objective import Noised, Objective, TrainingBatch, masked_mean
from .score_matching import SlicedScoreMatching
from .variational_bound import VariationalBound

__all__ = [
    "Denoising",
    "Noised",
    "Objective",
    "SlicedScoreMatching",
    "TrainingBatch",
    "VariationalBound",
    "masked_mean",
]
