"""The facts of a data set as lines to read: what was measured, and what the number means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .facts import Facts
from .judging import FAR

Lines = Iterator[tuple[str, str]]


def tell(facts: Facts) -> list[str]:
    """Return one line a fact, its name before it."""
    pairs = [pair for part in PARTS for pair in part(facts)]
    width = max(len(name) for name, _ in pairs)
    head = "what the demonstrations are like"
    if facts.n_sampled < facts.n_steps:
        head += f" (from {facts.n_sampled} of {facts.n_steps} steps)"
    return [head, *(f"  {name.ljust(width)}  {text}" for name, text in pairs)]


def _actions(facts: Facts) -> Lines:
    meaning = facts.meaning
    stated = f"stated {meaning.stated}" if meaning.stated else "not stated"
    follows = [
        f"{reading.label} -> {facts.obs[reading.column].label}"
        for reading in meaning.readings
        if reading.column >= 0
    ]
    text = f"read as {meaning.found}, {stated}"
    yield "action", text + (f"; followed by {_listed(follows)}" if follows else "")
    idle = [column.label for column in facts.action if column.constant]
    if idle:
        yield "unused", _listed(idle)
    yield "motion", f"forgets itself after {facts.motion_steps} steps{_seconds(facts)}"


def _observations(facts: Facts) -> Lines:
    relations = facts.relations
    if relations.n_columns:
        yield (
            "observation",
            f"{relations.n_columns} numbers: {relations.constant} never change, "
            f"{relations.independent} are independent of one another",
        )
    if facts.left_out:
        yield "not measured", ", ".join(facts.left_out)


def _pauses(facts: Facts) -> Lines:
    pauses = facts.pauses
    yield (
        "idle",
        f"{pauses.share:.1%} of the steps in {pauses.n_segments} segments"
        + (f", the longest {pauses.longest} steps" if pauses.n_segments else ""),
    )


def _history(facts: Facts) -> Lines:
    history = facts.history
    if history is None:
        yield "history", "cannot be told: too few episodes, or no numbers observed"
        return
    shares = ", ".join(f"{share:.0%} with {n}" for n, share in history.unexplained.items())
    yield (
        "history",
        f"observations leave of the action's variance unexplained: {shares}; "
        f"{history.best} suffice{'s' if history.best == 1 else ''}",
    )
    ahead = ", ".join(f"{share:.0%} at +{n}" for n, share in history.ahead.items())
    yield "foresight", f"of the motion they explain {ahead}"


def _modes(facts: Facts) -> Lines:
    modes = facts.modes
    if modes is None:
        yield "several ways", "cannot be told: too few episodes, or no numbers observed"
    elif modes.distance >= FAR:
        yield (
            "several ways",
            f"cannot be told: the nearest step of another episode is {modes.distance:.0%} as far "
            "as any",
        )
    else:
        yield (
            "several ways",
            f"near-identical observations leave {modes.unexplained:.0%} of the next {modes.chunk} "
            f"steps open; in {modes.split:.0%} of the steps they were answered in two ways",
        )


def _starts(facts: Facts) -> Lines:
    starts = facts.starts
    if starts is not None:
        yield (
            "starts",
            f"{starts.distinct} distinct of {starts.n}; {starts.varied} numbers vary; the nearest "
            f"other start is {starts.spacing:.0%} as far as any",
        )


PARTS: tuple[Callable[[Facts], Lines], ...] = (
    _actions,
    _observations,
    _pauses,
    _history,
    _modes,
    _starts,
)


def _seconds(facts: Facts) -> str:
    return f" ({facts.motion_steps / facts.rate_hz:.1f} s)" if facts.rate_hz else ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
