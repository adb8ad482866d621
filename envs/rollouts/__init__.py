"""Episodes: a control loop, many of them in lock-step, and several processes of those."""

from .control_loop import Actor, Clock, ControlLoop, Perturbation, Reporter, SimulatedClock
from .episodes import EpisodeResult, Recording
from .perturbation import ActionPushes
from .rollout import rollout

__all__ = [
    "ActionPushes",
    "Actor",
    "Clock",
    "ControlLoop",
    "EpisodeResult",
    "Perturbation",
    "Recording",
    "Reporter",
    "SimulatedClock",
    "rollout",
]
