"""Does another execution do better, and does little noise do much worse? On paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..finding import CAUSE, Clue, ramp
from ..rollouts import fresh, roll, seconds_each, with_noise

if TYPE_CHECKING:
    from kinoise.envs.rollouts import EpisodeResult

    from ..case import Case

#: Executed steps that are tried.
ACTION_STEPS = (1, 2, 4, 8, 16)
#: Standard deviation of the noise, in parts of an observation's range.
NOISE = (0.01, 0.05)
#: Fewest and most episodes of a variation.
LEAST = 8
MOST = 20
#: Part of the time left that all variations may take.
SHARE = 0.7


def clues(case: Case) -> Sequence[Clue]:
    """Roll out variations on the first of the fresh seeds, and compare each in pairs."""
    base = case.once(fresh)
    steps = _action_steps(case)
    samplers = _samplers(case)
    count = len(steps) + len(samplers) + len(NOISE)
    each = seconds_each(case) * count
    n = case.budget.affords(each, SHARE, LEAST, min(MOST, len(base)))
    if n < LEAST or each * n > case.budget.left:
        case.notes.append("sensitivity: no time was left (minutes=)")
        return []

    base = base[:n]
    found = []
    for value in steps:
        better = _compared(case, base, f"Ta = {value}", n_action_steps=value)
        found.append(_better("replanning", f"{value} executed steps", better))
    for value, sampler in samplers.items():
        better = _compared(case, base, f"{value} steps", sampler=sampler)
        found.append(_better("sampler_steps", f"{value} sampler steps", better))
    worst = [
        _worse(share, _compared(case, base, f"noise {share}", make_env=with_noise(case, share)))
        for share in NOISE
    ]
    _name_the_best(case, steps, list(samplers), found)
    return [*found, *worst]


def _compared(
    case: Case, base: Sequence[EpisodeResult], label: str, **choices: Any
) -> tuple[float, float, float]:
    """Return the difference of success to the base with its interval, on the same seeds."""
    from kinoise.envs.intervals import compare_rates

    other = roll(case, [e.seed for e in base], label, **choices)
    found = compare_rates([e.success for e in other], [e.success for e in base]).difference
    return found.estimate, found.low, found.high


def _better(cause: str, what: str, difference: tuple[float, float, float]) -> Clue:
    estimate, low, high = difference
    text = f"{what} change success by {estimate:+.2f} [{low:+.2f}, {high:+.2f}]"
    return Clue(cause, CAUSE, ramp(estimate, 0.1, 0.5) if low > 0 else 0.0, text)


def _worse(share: float, difference: tuple[float, float, float]) -> Clue:
    estimate, low, high = difference
    text = (
        f"noise of {100 * share:.0f} % of the range changes success by {estimate:+.2f} "
        f"[{low:+.2f}, {high:+.2f}]"
    )
    # What a sensor's resolution is worth should not matter; a twentieth of the range may.
    grave = (-0.1, -0.5) if share < 0.02 else (-0.5, -1.0)
    return Clue("brittle", CAUSE, ramp(estimate, *grave) if high < 0 else 0.0, text)


def _action_steps(case: Case) -> list[int]:
    """Return the other numbers of executed steps that the chunk allows."""
    policy = case.policy
    most = policy.horizon - policy.n_obs_steps + 1
    if policy.path.has_base:
        return []
    return [n for n in ACTION_STEPS if n <= most and n != policy.n_action_steps]


def _samplers(case: Case) -> dict[int, dict[str, Any]]:
    """Return the policy's sampler with half and with twice the steps, by their number."""
    node = case.config.get("policy", {}).get("sampler")
    if not isinstance(node, dict) or "n_steps" not in node:
        return {}
    own = int(node["n_steps"])
    return {n: {**node, "n_steps": n} for n in (max(1, own // 2), 2 * own) if n != own}


def _name_the_best(
    case: Case, steps: Sequence[int], samplers: Sequence[int], found: Sequence[Clue]
) -> None:
    """Keep the best values for the commands."""
    for name, values, clues_of in (
        ("best_action_steps", steps, found[: len(steps)]),
        ("best_sampler_steps", samplers, found[len(steps) :]),
    ):
        if values:
            best = max(range(len(values)), key=lambda i: clues_of[i].effect)
            if clues_of[best].effect > 0:
                case.facts[name] = values[best]
