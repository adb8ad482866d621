"""The table of mutants, room by room."""

from __future__ import annotations

from .datasets import DATASETS
from .envs import ENVS
from .execution import EXECUTION
from .formats import FORMATS
from .guidance import GUIDANCE
from .networks import NETWORKS
from .objectives import OBJECTIVES_ROWS
from .policy import POLICY
from .recovery import RECOVERY
from .row import Row
from .running import RUNNING
from .sampling import SAMPLING
from .storage import STORAGE
from .tasks import TASKS
from .training import TRAINING

ROOMS = (
    POLICY,
    NETWORKS,
    RUNNING,
    EXECUTION,
    GUIDANCE,
    OBJECTIVES_ROWS,
    TRAINING,
    SAMPLING,
    ENVS,
    TASKS,
    DATASETS,
    STORAGE,
    FORMATS,
    RECOVERY,
)

ROWS: list[Row] = [row for room in ROOMS for target in room for row in target.rows()]
