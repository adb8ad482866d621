"""What a data set holds, and what in it would hurt training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, nearest
from ..keys import ACTION, is_image
from ..storage import ReplayBuffer
from .facts import Facts, compute_facts
from .findings import (
    Finding,
    constant_dimensions,
    duplicate_episodes,
    jumping_dimensions,
    missing_attributes,
    non_finite_rows,
    outside_limits,
    short_episodes,
)
from .judging import judge
from .telling import tell

# Pictures are looked at in this many evenly spaced chunks: enough for their range.
PICTURE_CHUNKS = 32


@dataclass(frozen=True)
class KeySummary:
    """One key of a data set.

    Attributes:
        key: Its name.
        shape: Of one step.
        dtype: As stored.
        low: Least number of each dimension (pictures: of each channel), float64.
        high: Greatest number likewise.
        sampled: True when only some of the steps were looked at (pictures).
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    sampled: bool


@dataclass(frozen=True)
class Report:
    """What `inspect` found.

    Attributes:
        path: The data set.
        keys: One summary a key, sorted by name.
        episode_lengths: int64 [n_episodes], steps.
        attrs: The data set's attributes.
        bytes_on_disk: Size of all its files.
        findings: Worst first.
        facts: What was measured; None where there is nothing to measure.
    """

    path: Path
    keys: tuple[KeySummary, ...]
    episode_lengths: NDArray[np.int64]
    attrs: Mapping[str, Any]
    bytes_on_disk: int
    findings: tuple[Finding, ...]
    facts: Facts | None = None

    @property
    def n_steps(self) -> int:
        """Steps of all episodes together."""
        return int(self.episode_lengths.sum())

    @property
    def seconds(self) -> float | None:
        """Recorded time, where the control rate is known."""
        rate = self.attrs.get("control_rate_hz")
        return self.n_steps / rate if rate else None

    @property
    def worst(self) -> Literal["error", "warning", "note"] | None:
        """The severity of the worst finding."""
        return self.findings[0].severity if self.findings else None

    def to_text(self) -> str:
        """Return the report as plain lines."""
        parts = [self._heading(), self._key_table(), self._finding_lines()]
        if self.facts is not None:
            parts.insert(2, tell(self.facts))
        return "\n\n".join("\n".join(part) for part in parts)

    def _heading(self) -> list[str]:
        lengths = self.episode_lengths
        action = self.attrs.get("action") or {}
        rate = self.attrs.get("control_rate_hz")
        seconds = self.seconds
        time = f", {rate:g} Hz, {seconds / 60:.1f} min" if rate and seconds else ""
        lines = [
            f"{self.path}",
            f"{len(lengths)} episodes, {self.n_steps} steps{time}, "
            f"{self.bytes_on_disk / 2**20:.1f} MiB on disk",
        ]
        if len(lengths):
            lines.append(
                f"episode length: min {lengths.min()}, median {np.median(lengths):.0f}, "
                f"max {lengths.max()} steps"
            )
        described = [action.get("meaning"), action.get("units")]
        lines.append(
            f"environment: {self.attrs.get('env_id') or 'not stated'}; "
            f"action: {', '.join(filter(None, described)) or 'not stated'}"
        )
        return lines

    def _key_table(self) -> list[str]:
        rows = [("key", "shape", "dtype", "min", "max")]
        rows += [
            (key.key, str(key.shape), key.dtype, _range(key.low), _range(key.high))
            for key in self.keys
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]

    def _finding_lines(self) -> list[str]:
        if not self.findings:
            return ["nothing found that would hurt training"]
        return [f"{f.severity}: {f.message}; {f.mend}" for f in self.findings]


def inspect(buffer: ReplayBuffer | str | Path) -> Report:
    """Look through a data set, one key at a time.

    Raises:
        DatasetError: No data set stands there, or a chunk of it is damaged.
    """
    if not isinstance(buffer, ReplayBuffer):
        buffer = ReplayBuffer.open(buffer)
    ends = buffer.episode_ends
    lengths = np.diff(ends, prepend=0)
    summaries: list[KeySummary] = []
    findings = [*missing_attributes(buffer.attrs), *short_episodes(lengths)]
    digests: dict[int, list[bytes]] = {}

    for key in buffer.keys if buffer.n_steps else []:
        if is_image(buffer[key].shape):
            summaries.append(_summarise_pictures(buffer, key))
            continue

        rows = buffer.read(key)
        flat = rows.reshape(len(rows), -1)
        summaries.append(_summarise(key, rows))
        findings += non_finite_rows(key, flat, ends)
        findings += constant_dimensions(key, flat)
        findings += jumping_dimensions(key, flat, ends)
        if key == ACTION:
            findings += outside_limits(flat, ends, buffer.attrs)
        for episode, part in enumerate(np.split(flat, ends[:-1])):
            digests.setdefault(episode, []).append(part.tobytes())

    findings += duplicate_episodes(digests)
    facts = compute_facts(buffer)
    findings += [] if facts is None else judge(facts)
    order = ("error", "warning", "note")
    return Report(
        path=buffer.path,
        keys=tuple(summaries),
        episode_lengths=lengths,
        attrs=buffer.attrs,
        bytes_on_disk=sum(f.stat().st_size for f in buffer.path.rglob("*") if f.is_file()),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
        facts=facts,
    )


def check_against(
    buffer: ReplayBuffer | str | Path, spec: Mapping[str, Sequence[int]], *, env: str = "the task"
) -> None:
    """Hold a data set to an environment's spaces.

    Args:
        buffer: A data set or its path.
        spec: {key: shape of one step}, the action under "action". Keys of the data set that the
            spec does not name are fine.
        env: What to call the environment.

    Raises:
        DatasetError: A key is absent or has another shape.
    """
    if not isinstance(buffer, ReplayBuffer):
        buffer = ReplayBuffer.open(buffer)
    for key, shape in spec.items():
        if key not in buffer:
            raise DatasetError(
                f"{env} has the key {key!r}, {buffer.path} does not{nearest(key, buffer.keys)}; "
                "choose a data set recorded in it"
            )
        held = tuple(buffer[key].shape[1:])
        if held != tuple(shape):
            raise DatasetError(
                f"key {key!r}: {buffer.path} holds {held} per step, {env} has {tuple(shape)}; "
                "choose a data set recorded in it"
            )


def _summarise(key: str, rows: NDArray[Any]) -> KeySummary:
    with np.errstate(invalid="ignore"):
        low = np.fmin.reduce(rows, axis=0)
        high = np.fmax.reduce(rows, axis=0)
    return KeySummary(
        key=key,
        shape=rows.shape[1:],
        dtype=str(rows.dtype),
        low=np.asarray(low, dtype=np.float64),
        high=np.asarray(high, dtype=np.float64),
        sampled=False,
    )


def _summarise_pictures(buffer: ReplayBuffer, key: str) -> KeySummary:
    array = buffer[key]
    rows = array.chunks[0]
    starts = np.arange(0, buffer.n_steps, rows)
    starts = starts[np.unique(np.linspace(0, len(starts) - 1, PICTURE_CHUNKS).round().astype(int))]
    bounds = []
    for start in starts:
        pixels = buffer.read(key, int(start), int(start) + rows)
        pixels = pixels.reshape(-1, array.shape[-1])
        bounds.append((pixels.min(0), pixels.max(0)))
    low, high = (np.asarray(side, dtype=np.float64) for side in zip(*bounds, strict=True))
    return KeySummary(
        key=key,
        shape=tuple(array.shape[1:]),
        dtype=str(array.dtype),
        low=low.min(0),
        high=high.max(0),
        sampled=len(starts) * rows < buffer.n_steps,
    )


def _range(values: NDArray[np.float64]) -> str:
    """Return up to six numbers, else the extremes."""
    flat = values.ravel()
    if len(flat) > 6:
        return f"{flat.min():.4g} .. {flat.max():.4g}"
    return " ".join(f"{value:.4g}" for value in flat)
