"""What in the facts of a data set would hurt training, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .facts import Column, Facts
from .findings import Finding

# How a training is told that columns of a key are angles; a second key needs a name of its own.
SINE_COSINE = (
    "transform=sin_cos policy.transforms.sin_cos.key={key} "
    "'policy.transforms.sin_cos.columns={columns}'"
)
MORE_SINE_COSINE = (
    "+transform@policy.transforms.{key}_angle=sin_cos policy.transforms.{key}_angle.key={key} "
    "'policy.transforms.{key}_angle.columns={columns}'"
)
# How it is told that outliers must not set the scale of a key.
WITHOUT_OUTLIERS = "'policy.normalization={{{keys}}}'"
WITHOUT_OUTLIERS_MODE = "quantile"

# Shares of the steps, or of the episodes, from which on a fact is told.
IDLE = 0.02
IDLE_EPISODES = 0.1
SATURATED = 0.1
SPLIT = 0.04
DISTINCT = 0.5
# Neighbours farther than this part of the distance of two steps at random are none.
FAR = 0.6


def judge(facts: Facts) -> list[Finding]:
    """Return what the facts say against the data."""
    return [finding for check in CHECKS for finding in check(facts)]


def angle_overrides(facts: Facts) -> str:
    """Return the words that let a training see sine and cosine of the angles that wrap, or ""."""
    by_key: dict[str, list[int]] = {}
    for column in facts.obs:
        if column.period:
            key, _, number = column.label.rstrip("]").rpartition("[")
            by_key.setdefault(key, []).append(int(number))
    forms = [SINE_COSINE, *[MORE_SINE_COSINE] * len(by_key)]
    return " ".join(
        form.format(key=key, columns=str(numbers).replace(" ", ""))
        for form, (key, numbers) in zip(forms, by_key.items(), strict=False)
    )


def _idle(facts: Facts) -> Iterator[Finding]:
    pauses = facts.pauses
    edges = max(pauses.at_start, pauses.at_end)
    if pauses.share < IDLE and edges < max(2, IDLE_EPISODES * facts.n_episodes):
        return
    seconds = f" ({pauses.longest / facts.rate_hz:.1f} s)" if facts.rate_hz else ""
    yield Finding(
        "warning",
        f"{pauses.n_segments} idle segments hold {pauses.share:.1%} of the steps, the longest "
        f"{pauses.longest} steps{seconds}: {pauses.at_start} at the start of an episode "
        f"({pauses.steps_at_start} steps), {pauses.at_end} at the end ({pauses.steps_at_end}), "
        f"{pauses.within} within ({pauses.steps_within})",
        "a policy learns to stand still from them and may never leave: cut them when importing or "
        "recording, or plan farther ahead than they last",
    )


def _saturated(facts: Facts) -> Iterator[Finding]:
    full = [column for column in facts.action if column.saturated >= SATURATED]
    if full:
        shares = ", ".join(f"{column.label} in {column.saturated:.0%}" for column in full)
        yield Finding(
            "note",
            f"actions stand at an end of their range: {shares} of the steps",
            "fine if that is the robot's or the joystick's limit; else the actions were clipped, "
            "and what was meant is lost",
        )


def _rarely_used(facts: Facts) -> Iterator[Finding]:
    rare = [column.label for column in facts.action if column.rare]
    if rare:
        yield Finding(
            "note",
            f"hardly used, in less than 1 % of the steps: {_listed(rare)}",
            "the policy will hardly learn when to use it; leave it out if the task does not need "
            "it, else record demonstrations that use it",
        )


def _slivers(facts: Facts) -> Iterator[Finding]:
    if not facts.slivers:
        return
    worst = min(facts.slivers, key=lambda column: column.filling)
    keys = sorted({column.label.rpartition("[")[0] for column in facts.slivers})
    yield Finding(
        "warning",
        f"the central 99 % of {_listed([c.label for c in facts.slivers])} fill a sliver of the "
        f"range ({worst.filling:.1%} in {worst.label}: {worst.central[0]:.3g} to "
        f"{worst.central[1]:.3g} of {worst.low:.3g} to {worst.high:.3g})",
        "a few outliers set the scale and squeeze everything else: repair them, or train with "
        + WITHOUT_OUTLIERS.format(
            keys=", ".join(f"{key}: {WITHOUT_OUTLIERS_MODE}" for key in keys)
        ),
    )


def _angles(facts: Facts) -> Iterator[Finding]:
    overrides = angle_overrides(facts)
    if overrides:
        labels = [column.label for column in facts.obs if column.period]
        yield Finding(
            "note",
            f"angles wrap, so near-identical poses look far apart: {_listed(labels)}",
            f"give sine and cosine instead: kinoise train {overrides}",
        )


def _meaning(facts: Facts) -> Iterator[Finding]:
    meaning = facts.meaning
    if meaning.contradicted:
        yield Finding(
            "warning",
            f"actions are stated as {meaning.stated}, but they read as {meaning.found}: "
            f"{_evidence(facts)}",
            "state the meaning that they have when importing; a robot driven by the wrong one "
            "leaves its workspace",
        )


def _routes(facts: Facts) -> Iterator[Finding]:
    modes = facts.modes
    if modes is not None and modes.split >= SPLIT and modes.distance < FAR:
        yield Finding(
            "note",
            f"in {modes.split:.0%} of the steps, near-identical observations were answered in two "
            f"distinct ways (the next {modes.chunk} steps)",
            "plans may switch between them from chunk to chunk: execute longer chunks, or choose "
            "among several samples the one that continues the last; a regression would average",
        )


def _history(facts: Facts) -> Iterator[Finding]:
    history = facts.history
    if history is not None and history.best > 2:
        shares = ", ".join(f"{share:.0%} with {n}" for n, share in history.unexplained.items())
        yield Finding(
            "note",
            f"more history predicts the action better: left unexplained {shares} observations",
            f"try policy.n_obs_steps={history.best}, and hold it against 2 in rollouts: a policy "
            "with history can learn to repeat itself",
        )


def _starts(facts: Facts) -> Iterator[Finding]:
    starts = facts.starts
    if starts is not None and starts.n >= 4 and starts.distinct < DISTINCT * starts.n:
        yield Finding(
            "warning",
            f"{starts.n} episodes begin in only {starts.distinct} distinct states",
            "a policy is sure only where demonstrations begin; vary the initial states when "
            "recording, or evaluate from these",
        )


def _copies(facts: Facts) -> Iterator[Finding]:
    copies = facts.relations.copies
    if copies:
        pairs = [f"{column} repeats {other}" for column, other in copies]
        yield Finding(
            "note",
            f"observed twice: {_listed(pairs)}",
            "harmless, but leave copies out if the simulator or the robot has only one of them",
        )


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _idle,
    _saturated,
    _rarely_used,
    _slivers,
    _angles,
    _meaning,
    _routes,
    _history,
    _starts,
    _copies,
)
"""Every check, each yields what it finds."""


def _evidence(facts: Facts) -> str:
    """Say by how much the observations follow the actions, for the clearest number."""
    best = max(facts.meaning.readings, key=lambda reading: max(reading.absolute, reading.relative))
    column: Column = facts.obs[best.column]
    return (
        f"{best.label} explains {best.absolute:.0%} of where {column.label} is next and "
        f"{best.relative:.0%} of how it changes"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
