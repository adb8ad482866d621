"""Transforms between the data's own numbers and those that the network reads and writes."""

from .actions import CumulativeAction, DeltaAction, RelativeAction
from .angles import SinCos
from .chain import Chain
from .disturbances import ClipObservation, ObservationDropout, ObservationNoise
from .poses import RelativePose
from .recovery import Recovery
from .transform import Transform

__all__ = [
    "Chain",
    "ClipObservation",
    "CumulativeAction",
    "DeltaAction",
    "ObservationDropout",
    "ObservationNoise",
    "Recovery",
    "RelativeAction",
    "RelativePose",
    "SinCos",
    "Transform",
]
