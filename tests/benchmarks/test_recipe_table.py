"""The table of recipes: pairs are pairs, and a missing reference is no difference."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
METRICS = {"a": "success", "b": "score", "c": "action_error"}


@pytest.fixture(scope="module")
def module() -> Any:
    """Return the module of the table."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("recipe_table")
    finally:
        sys.path.pop(0)


def cell(data: str, recipe: str, seed: int, **outcome: Any) -> dict[str, Any]:
    return {"data": data, "recipe": recipe, "seed": seed, "steps": 10, **outcome}


def test_rates_are_paired_by_training_seed_and_episode(module: Any) -> None:
    records = [cell("a", "auto", seed, successes="1111111100") for seed in (0, 1)]
    records += [cell("a", "none", seed, successes="1111000000") for seed in (1, 0)]
    reference, own = module.table(records, METRICS)
    assert reference["recipe"] == "none"
    assert reference["difference"] is None
    assert own["estimate"] == pytest.approx(0.8)
    low, estimate, high = own["difference"]
    assert estimate == pytest.approx(0.4)
    assert low < 0.4 < high
    assert own["interval"][0] < 0.8 < own["interval"][1]


def test_only_shared_seeds_are_compared_and_errors_by_their_mean(module: Any) -> None:
    records = [
        cell("c", "auto", 0, action_error=0.3),
        cell("c", "auto", 1, action_error=0.9),
        cell("c", "none", 0, action_error=0.5),
        cell("b", "auto", 0, scores="0.1 0.3"),
    ]
    scores, _, errors = module.table(records, METRICS)
    assert scores["estimate"] == pytest.approx(0.2)
    assert scores["difference"] is None
    assert errors["difference"] == [pytest.approx(-0.2)]
    text = module.markdown([scores, errors])
    assert "| c | auto | action error | 0.600 | 0.300, 0.900 | -0.200 | 10, 10 |" in text
