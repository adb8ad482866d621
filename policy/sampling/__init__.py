"""Sampling: solver, number of steps and grid compiled to one table, run by a matmul a step."""

from .sampler import Sampler
from .table import Table, run_table

__all__ = ["Sampler", "Table", "run_table"]
