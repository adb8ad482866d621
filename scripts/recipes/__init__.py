"""Settings of a training chosen from facts of its data, by written rules with reasons."""

from .rule import Choice, Rule, Situation, decide
from .rules import SCHEDULE, SHAPE
from .settling import RECORD, propose, record, settle

__all__ = [
    "RECORD",
    "SCHEDULE",
    "SHAPE",
    "Choice",
    "Rule",
    "Situation",
    "decide",
    "propose",
    "record",
    "settle",
]
