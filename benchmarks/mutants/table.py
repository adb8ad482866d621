"""The table of mutants, room by room."""

from __future__ import annotations

from .datasets import DATASETS
from .envs import ENVS
from .policy import POLICY
from .row import Row
from .sampling import SAMPLING
from .training import TRAINING

ROWS: list[Row] = [
    row
    for room in (POLICY, TRAINING, SAMPLING, ENVS, DATASETS)
    for target in room
    for row in target.rows()
]
