"""Single checks of demonstrations: each looks at one fault and says how to mend it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..keys import ACTION
from .facts.angles import wrap_period

# A step is a jump when it is this many times the 99th percentile of the dimension's steps: a
# smooth signal of any distribution seen in demonstrations stays well below.
JUMP_FACTOR = 10.0
# Dimensions with fewer values than this are switches (grippers, flags); they may jump.
SWITCH_VALUES = 8
# A dimension hardly changes when its range is this small beside its values, or beside the range of
# the key's widest dimension: scaling it to [-1, 1] would amplify noise. Neither has a unit.
NEAR_CONSTANT = 1e-3
NEAR_CONSTANT_BESIDE_OTHERS = 1e-6

CONSTANT_MENDS = {
    True: "the policy will always return that value: leave the dimension out of the action if the "
    "robot does not need it, else record demonstrations that move it",
    False: "drop it from the observations if it means nothing; the normaliser only centres it",
}
NEAR_CONSTANT_MENDS = {
    True: "the policy will return about the centre of that range, because scaling it to [-1, 1] "
    "would make noise as large as motion: check the units, or record demonstrations that move it",
    False: "check the sensor or the units; never scale such a range to [-1, 1]",
}
JUMP_MENDS = {
    True: "it is an angle that wraps: give its sine and cosine",
    False: "look for lost frames, resets inside an episode or sensor faults there",
}
# Jumping dimensions of a key that are told one by one.
JUMPS_TOLD = 3
SHORT_EPISODE = 8
SHORT_FRACTION = 0.1


@dataclass(frozen=True)
class Finding:
    """Something in the data that would hurt training.

    Attributes:
        severity: "error" spoils training, "warning" probably harms it, "note" is worth knowing.
        message: The fault, with its place.
        mend: What to do.
    """

    severity: Literal["error", "warning", "note"]
    message: str
    mend: str


def non_finite_rows(key: str, rows: NDArray[Any], ends: NDArray[np.int64]) -> Iterator[Finding]:
    """Find NaN and infinity in rows [N, D]."""
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        yield Finding(
            "error",
            f"{key!r} holds NaN or infinity in {bad.sum()} steps of {_episodes(bad, ends)}",
            "leave these episodes out or repair them",
        )


def constant_dimensions(key: str, rows: NDArray[Any]) -> Iterator[Finding]:
    """Find dimensions of rows [N, D] that never change, or hardly."""
    low = np.fmin.reduce(rows, axis=0).astype(np.float64)
    high = np.fmax.reduce(rows, axis=0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        spread = high - low
        size = np.maximum(np.abs(low), np.abs(high))
        widest = np.max(spread, initial=0.0, where=np.isfinite(spread))
    is_action = key == ACTION

    constant = spread == 0
    if constant.any() and len(rows) > 1:
        yield Finding(
            "warning",
            f"{key!r} never changes in {_dimensions(constant)}",
            CONSTANT_MENDS[is_action],
        )

    little = np.maximum(NEAR_CONSTANT_BESIDE_OTHERS * widest, NEAR_CONSTANT * size)
    near = ~constant & (spread < little)
    if near.any():
        yield Finding(
            "warning",
            f"{key!r} hardly changes in {_dimensions(near)} (range {spread[near].max():.2g})",
            NEAR_CONSTANT_MENDS[is_action],
        )


def jumping_dimensions(key: str, rows: NDArray[Any], ends: NDArray[np.int64]) -> Iterator[Finding]:
    """Find steps within an episode far beyond what the dimension of rows [N, D] usually does."""
    if rows.dtype.kind != "f" or len(rows) < 3:
        return
    steps = np.abs(np.diff(rows.astype(np.float64), axis=0))
    steps[ends[:-1] - 1] = 0
    steps[~np.isfinite(steps)] = 0

    n_told = 0
    untold = np.zeros(rows.shape[1], dtype=np.bool_)
    for dimension, (values, sizes) in enumerate(zip(rows.T, steps.T, strict=True)):
        period = wrap_period(values.astype(np.float64), ends)
        usual = _usual_move(sizes)
        jumps = sizes > (0.75 * period if period else max(JUMP_FACTOR * usual, 1e-12))
        if not jumps.any() or len(np.unique(values)) < SWITCH_VALUES:
            continue
        if n_told == JUMPS_TOLD and not period:
            untold[dimension] = True
            continue
        n_told += not period
        at = np.append(jumps, False)
        where = f"{at.sum()} steps of {_episodes(at, ends)}"
        beside = "" if period else f", where 99 % of its moves are below {usual:.2g}"
        yield Finding(
            "warning",
            f"{key!r} dimension {dimension} jumps by up to {sizes.max():.4g} in {where}{beside}",
            JUMP_MENDS[period > 0],
        )
    if untold.any():
        yield Finding(
            "warning", f"{key!r} jumps likewise in {_dimensions(untold)}", JUMP_MENDS[False]
        )


def _usual_move(sizes: NDArray[np.float64]) -> float:
    """Return the 99th percentile of the steps that move at all: what seldom moves does not jump."""
    moving = sizes[sizes > 0]
    return float(np.quantile(moving, 0.99)) if len(moving) else 0.0


def outside_limits(
    actions: NDArray[Any], ends: NDArray[np.int64], attrs: Mapping[str, Any]
) -> Iterator[Finding]:
    """Find actions [N, Da] outside the limits the data set declares."""
    declared = attrs.get("action") or {}
    width = actions.shape[1]
    for name, sign in (("low", -1.0), ("high", 1.0)):
        limit = declared.get(name)
        if limit is None:
            continue
        if len(limit) != width:
            yield Finding(
                "error",
                f"the declared action limit {name!r} has {len(limit)} numbers, an action {width}",
                "correct the attribute `action`",
            )
            continue
        excess = sign * (actions.astype(np.float64) - np.asarray(limit))
        beyond = excess > 1e-6 * np.maximum(1.0, np.abs(limit))
        if beyond.any():
            yield Finding(
                "error",
                f"{ACTION!r} lies beyond the declared {name} limit in {beyond.any(1).sum()} steps "
                f"of {_episodes(beyond.any(1), ends)}, {_dimensions(beyond.any(0))}, by up to "
                f"{excess[beyond].max():.3g}",
                "correct the limits, or clip the actions when recording",
            )


def short_episodes(lengths: NDArray[np.int64]) -> Iterator[Finding]:
    """Find episodes of a few steps, or far shorter than the others."""
    if not len(lengths):
        yield Finding("error", "there is no episode", "collect or import some")
        return
    short = lengths < max(SHORT_EPISODE, SHORT_FRACTION * float(np.median(lengths)))
    if short.any():
        yield Finding(
            "warning",
            f"{short.sum()} very short: {_listed(np.flatnonzero(short))} "
            f"({lengths[short].min()} to {lengths[short].max()} steps, median "
            f"{np.median(lengths):.0f})",
            "leave them out if they are aborted recordings",
        )


def duplicate_episodes(contents: Mapping[int, Sequence[bytes]]) -> Iterator[Finding]:
    """Find episodes whose numbers (pictures aside) are all the same."""
    groups: dict[bytes, list[int]] = {}
    for episode, parts in contents.items():
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        groups.setdefault(digest.digest(), []).append(episode)
    for episodes in groups.values():
        if len(episodes) > 1:
            yield Finding(
                "warning",
                f"{_listed(episodes)} are the same",
                "keep one: copies weigh the loss and leak from training into validation",
            )


def missing_attributes(attrs: Mapping[str, Any]) -> Iterator[Finding]:
    """Find what the data set does not say of itself."""
    action = attrs.get("action") or {}
    stated = {
        "control rate": attrs.get("control_rate_hz"),
        "environment": attrs.get("env_id"),
        "action meaning": action.get("meaning"),
        "action limits": action.get("low"),
    }
    missing = [name for name, value in stated.items() if value is None]
    if missing:
        yield Finding(
            "note",
            f"not stated: {', '.join(missing)}",
            "give them when importing or recording; a robot cannot be driven without",
        )


def _episodes(bad: NDArray[np.bool_], ends: NDArray[np.int64]) -> str:
    """Name the episodes that hold the marked rows [N]."""
    return _listed(np.unique(np.searchsorted(ends, np.flatnonzero(bad), side="right")))


def _dimensions(marked: NDArray[np.bool_]) -> str:
    return _listed(np.flatnonzero(marked), "dimension")


def _listed(numbers: Sequence[int] | NDArray[np.int64], noun: str = "episode") -> str:
    """Return "episode 3", or "episodes 1, 2, 3 and 7 more"."""
    shown = ", ".join(str(int(number)) for number in numbers[:6])
    rest = f" and {len(numbers) - 6} more" if len(numbers) > 6 else ""
    return f"{noun}{'s' if len(numbers) > 1 else ''} {shown}{rest}"
