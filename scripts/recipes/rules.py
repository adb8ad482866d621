"""The rules of `recipe=auto`. Each is a small function from a situation to a value and its reason.

`benchmarks/recipes.py` measures what they are worth on the data sets at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .rule import Advice, Rule, Situation

# Where the transforms are.
TRANSFORMS = "kinoise.policy.transforms"
# How far the robot is set off its path, in halves of the range: two or three steps at most.
OFF_PATH = 0.05
# How one says that outliers must not set the scale.
WITHOUT_OUTLIERS = "quantile"
EXECUTED = 8
HORIZON = 16
EPOCHS = 600
FEWEST_STEPS = 6_000
MOST_STEPS = 30_000


def history(now: Situation) -> Advice:
    """One observation where a second tells nothing, else two."""
    found = now.facts.history
    if found is None:
        return 2, "nothing can be measured here; two observations show a velocity"
    shares = " and ".join(
        f"{found.unexplained[n]:.0%} with {n}" for n in (1, 2) if n in found.unexplained
    )
    left = f"of the action's variance {shares} stay unexplained"
    if found.best == 1:
        return 1, f"{left}: a second observation tells nothing"
    return 2, f"{left}; longer histories invite a policy to repeat itself"


def executed(now: Situation) -> Advice:
    """Eight steps, but at least four plans an episode."""
    longest = max(1, int(now.facts.lengths[1]) // 4)
    value = min(EXECUTED, longest)
    reason = "4 and 14 were no better on two data sets, as far as 100 episodes tell"
    if value == longest:
        reason = f"an episode of {now.facts.lengths[1]:g} steps should hold at least four plans"
    return _fitted_to_horizon(now, value), reason


def planned(now: Situation) -> Advice:
    """Sixteen steps, as nearly everyone plans, or what the executed ones need."""
    executes = now.settled["policy.n_action_steps"]
    least = now.settled["policy.n_obs_steps"] - 1 + executes
    value = max(HORIZON, _up(least, 4))
    return value, f"room for the {executes} executed steps, in fours for networks that halve it"


def scaling(now: Situation) -> Advice:
    """Do not let outliers set the scale."""
    labels = [column.label for column in now.facts.slivers]
    if not labels:
        return {}, "least to greatest becomes -1 to 1: no outliers set a range"
    modes = dict.fromkeys(_by_key(labels), WITHOUT_OUTLIERS)
    return modes, f"a few outliers would set the range of {_listed(labels)}"


def transforms(now: Situation) -> Advice:
    """Show how to get back where steps have a known length; let no angle jump at a turn's end."""
    steps = now.facts.steps
    angles = [column.label for column in now.facts.obs if column.period]
    nodes: dict[str, Any] = {}
    reasons = []
    for key, columns in _by_key([step.label for step in steps]).items():
        own = [step for column in columns for step in steps if step.label == f"{key}[{column}]"]
        nodes[f"recovery_{key}"] = {
            "_target_": f"{TRANSFORMS}.Recovery",
            "key": key,
            "key_columns": columns,
            "columns": [step.action for step in own],
            "scale": OFF_PATH,
            "gain": [float(f"{step.gain:.3g}") for step in own],
        }
    for key, columns in _by_key(angles).items():
        nodes[f"sin_cos_{key}"] = {
            "_target_": f"{TRANSFORMS}.SinCos",
            "key": key,
            "columns": columns,
        }

    if steps:
        moved = ", ".join(step.label for step in steps)
        reasons.append(f"the action's steps move {moved}: starts off the path teach the way back")
    if angles:
        reasons.append(f"{', '.join(angles)} jump at the end of a turn")
    return nodes, "; ".join(reasons) or "no steps of known length, and no angle that wraps"


def backbone(now: Situation) -> Advice:
    """The residual perceptron, unless a chunk has too many numbers for one flat layer."""
    numbers = now.settled["policy.horizon"] * len(now.facts.action)
    if numbers > 1024:
        return "dit", f"a chunk has {numbers} numbers, too many for one flat layer"
    return "residual_mlp", f"a chunk has {numbers} numbers; it trains fastest on these"


def width(now: Situation) -> Advice:
    """Wider networks for more data."""
    if now.settled["network"] != "residual_mlp":
        return None
    steps = now.facts.n_steps
    value = 256 if steps < 15_000 else 384 if steps < 60_000 else 512
    return value, f"{steps} steps of data"


def batch(now: Situation) -> Advice:
    """256, but no more than an eighth of the data."""
    value = 256
    while value > 16 and value > now.facts.n_steps / 8:
        value //= 2
    return value, f"{now.facts.n_steps} steps of data"


def duration(now: Situation) -> Advice:
    """So many passes over the data, within what is worth waiting for."""
    size = now.settled["data.batch_size"]
    steps = EPOCHS * now.facts.n_steps / size
    value = int(min(max(round(steps, -3), FEWEST_STEPS), MOST_STEPS))
    passes = value * size / now.facts.n_steps
    return value, f"{passes:.0f} passes over {now.facts.n_steps} steps of data"


def rate(now: Situation) -> Advice:
    """What each backbone was tuned at."""
    if now.settled["network"] == "residual_mlp":
        return 5e-4, "what every figure of the perceptron was measured at"
    return 3e-4, "convolutions and attention need smaller steps than a perceptron"


def warmup(now: Situation) -> Advice:
    """A tenth of the training, 500 steps at most."""
    steps = now.settled["trainer.n_steps"]
    return max(1, min(500, steps // 10)), f"a tenth of {steps} steps, 500 at most"


def average(now: Situation) -> Advice:
    """Average over the last twentieth of the training."""
    steps = now.settled["trainer.n_steps"]
    decay = min(max(1 - 20 / steps, 0.99), 0.9995)
    return round(decay, 4), f"averages over the last {1 / (1 - decay):.0f} of {steps} steps"


#: What is learnt, in the order in which the rules build on one another.
SHAPE: tuple[Rule, ...] = (
    Rule("policy.n_obs_steps", history),
    Rule("policy.n_action_steps", executed),
    Rule("policy.horizon", planned),
    Rule("policy.transforms", transforms),
    Rule("policy.normalization", scaling),
    Rule("network", backbone),
    Rule("policy.network.width", width),
    Rule("data.batch_size", batch),
    Rule("trainer.learning_rate", rate),
    Rule("trainer.n_steps", duration),
)
WARMUP = Rule("trainer.warmup_steps", warmup)
#: How it is trained once the number of steps is known.
SCHEDULE: tuple[Rule, ...] = (WARMUP, Rule("trainer.ema_decay", average))
#: What `kinoise inspect` proposes.
PROPOSED = (
    "policy.n_obs_steps",
    "policy.n_action_steps",
    "policy.horizon",
    "policy.transforms",
    "policy.normalization",
    "trainer.n_steps",
)


def _fitted_to_horizon(now: Situation, steps: int) -> int:
    """Return no more steps than a horizon that the user gave holds."""
    given: int | None = now.settled.get("given.horizon")
    if given is None:
        return steps
    reach: int = given - now.settled["policy.n_obs_steps"] + 1
    return max(1, min(steps, reach))


def _up(value: int, to: int) -> int:
    return -(-value // to) * to


def _by_key(labels: Sequence[str]) -> dict[str, list[int]]:
    """Return key -> columns of labels "key[i]"."""
    found: dict[str, list[int]] = {}
    for label in labels:
        key, _, column = label.rpartition("[")
        found.setdefault(key, []).append(int(column.rstrip("]")))
    return found


def _listed(labels: Sequence[str], most: int = 4) -> str:
    """Return the first of some labels, and how many more there are."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
