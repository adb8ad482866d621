"""Control: a policy's chunks become actions, tick by tick."""

from .best_of_k import BestOfK
from .execution import Execution, RecedingHorizon
from .temporal_ensemble import TemporalEnsemble
from .warm_start import WarmStart

__all__ = ["BestOfK", "Execution", "RecedingHorizon", "TemporalEnsemble", "WarmStart"]
