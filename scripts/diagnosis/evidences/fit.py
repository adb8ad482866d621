"""Has the policy learnt its demonstrations, and more than those?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import held_out, training
from ..finding import CAUSE, Clue, ramp
from ..regression import ratio_interval

if TYPE_CHECKING:
    from ..case import Case


def clues(case: Case) -> Sequence[Clue]:
    """Compare the errors on training windows with baselines, and with held-out episodes."""
    return [_under(case), *_over(case)]


def _under(case: Case) -> Clue:
    """Say whether trivial guesses do better than the policy where it was trained."""
    errors = case.once(training)
    steps = case.policy.n_action_steps
    guesses = {name: errors.root(name, steps) for name in ("neighbours", "repeat", "mean")}
    name, best = min(guesses.items(), key=lambda item: item[1])
    own = errors.root("policy", steps)
    words = {"neighbours": "neighbouring demonstrations", "repeat": "the last action again"}
    text = (
        f"on its own training windows the policy errs by {own:.2f} of the actions' spread; "
        f"{words.get(name, 'the mean action')} by {best:.2f}"
    )
    # Where nothing is left to explain the ratio says nothing.
    effect = ramp(own / max(best, 0.02), 1.0, 1.6) * ramp(own, 0.05, 0.3)
    return Clue("undertrained", CAUSE, effect, text)


def _over(case: Case) -> list[Clue]:
    """Say whether held-out episodes are told far worse than training ones, and badly at that."""
    seen = case.once(training)
    unseen = case.once(held_out)
    if unseen is None:
        note = "overfitting: no episodes were set aside (data.validation_fraction=0.1)"
        case.notes.append(note)
        return []
    steps = case.policy.n_action_steps
    ratio, low, high = ratio_interval(
        unseen.each("policy", steps), seen.each("policy", steps), unseen.episode, seen.episode
    )
    own = unseen.root("policy", steps)
    guess = min(unseen.root(name, steps) for name in ("neighbours", "repeat", "mean"))
    text = (
        f"the error on held-out episodes is {ratio:.1f} [{low:.1f}, {high:.1f}] times that on "
        f"training ones, and {own / max(guess, 1e-9):.1f} times that of a trivial guess"
    )
    grows = ramp(np.log(max(low, 1e-9)), np.log(1.3), np.log(2.5))
    effect = grows * ramp(own / max(guess, 1e-9), 0.75, 1.1) * ramp(own, 0.05, 0.3)
    return [Clue("overfitted", CAUSE, effect, text)]
