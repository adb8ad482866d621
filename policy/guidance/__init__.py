"""Guidance: edits of the x_0 estimate of every evaluation, applied in order (see `Guidance`)."""

from .classifier_free import ClassifierFree
from .constraints import DynamicClamp, Projection
from .estimate import Estimate, Guidance
from .gradients import CostGradient, EnergyGradient
from .inpainting import Inpainting, PseudoInverse, prefix_weights
from .sets import Ball, Box, ConstraintSet, Intersection, MaxStep, OutsideDisc

__all__ = [
    "Ball",
    "Box",
    "ClassifierFree",
    "ConstraintSet",
    "CostGradient",
    "DynamicClamp",
    "EnergyGradient",
    "Estimate",
    "Guidance",
    "Inpainting",
    "Intersection",
    "MaxStep",
    "OutsideDisc",
    "Projection",
    "PseudoInverse",
    "prefix_weights",
]
