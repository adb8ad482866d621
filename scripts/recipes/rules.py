"""The rules of `recipe=auto`. Each is a small function from a situation to a value and its reason.

`benchmarks/recipes.py` measures what they are worth on the data sets at hand.
"""

from __future__ import annotations

from .rule import Advice, Rule, Situation

# How one says that outliers must not set the scale.
WITHOUT_OUTLIERS = "standard"
EPOCHS = 300
FEWEST_STEPS = 6_000
MOST_STEPS = 40_000


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
    """Execute about one and a half times as long as the motion remembers itself."""
    steps = now.facts.motion_steps
    longest = max(1, int(now.facts.lengths[1]) // 4)
    value = min(_multiple(1.5 * steps, 4, least=4, most=16), longest)
    reason = f"the motion forgets itself after {steps} steps"
    if value == longest:
        reason += ", and an episode should hold at least four plans"
    return _fitted_to_horizon(now, value), reason


def planned(now: Situation) -> Advice:
    """Plan twice as far as is executed: what lies behind it steers what is executed."""
    executes = now.settled["policy.n_action_steps"]
    least = now.settled["policy.n_obs_steps"] - 1 + executes
    value = max(_multiple(2 * executes, 4, least=8, most=64), _up(least, 4))
    return value, f"twice the {executes} executed steps, in fours for networks that halve it"


def scaling(now: Situation) -> Advice:
    """Do not let outliers set the scale."""
    keys = sorted({column.label.rpartition("[")[0] for column in now.facts.slivers})
    if not keys:
        return {}, "least to greatest becomes -1 to 1: no outliers set a range"
    return (
        dict.fromkeys(keys, WITHOUT_OUTLIERS),
        "a few outliers would set the range of "
        + ", ".join(column.label for column in now.facts.slivers[:4]),
    )


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
        return 1e-3, "a perceptron of this width"
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


def _multiple(value: float, of: int, *, least: int, most: int) -> int:
    return int(min(max(round(value / of) * of, least), most))


def _up(value: int, to: int) -> int:
    return -(-value // to) * to
