from __future__ import annotations

from kinoise.scripts.diagnosis.budget import Budget


def test_what_is_afforded_follows_the_time_that_is_left() -> None:
    now = [0.0]
    budget = Budget(1.0, clock=lambda: now[0])
    assert budget.affords(1.0, share=0.5, least=2, most=100) == 30
    assert budget.affords(1.0, share=0.5, least=2, most=10) == 10
    now[0] = 58.0
    assert budget.affords(1.0, share=0.5, least=2, most=100) == 2
    now[0] = 61.0
    assert budget.spent
    assert budget.affords(1.0, share=0.5, least=2, most=100) == 0
