"""Failing rollouts beside the nearest demonstrations: as videos, else as plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import assembly, tasks
from ..reporting.video import encode_mp4
from .regression import neighbours
from .rollouts import fresh, observations

if TYPE_CHECKING:
    from kinoise.envs.rollouts import EpisodeResult

    from .case import Case

#: Failing episodes that are shown, and dimensions of a plot.
N_SHOWN = 3
N_DIMENSIONS = 4


@dataclass(frozen=True)
class Films:
    """What the page shows of single episodes.

    Attributes:
        videos: see `write_report`.
        curves: see `write_report`.
    """

    videos: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)


def film(case: Case) -> Films:
    """Show failing rollouts and, beside each, the demonstration with the nearest start."""
    failed = [e for e in case.once(fresh) if not e.success][:N_SHOWN]
    if not failed:
        return Films()
    nearest = _nearest(case, failed)
    try:
        return Films(videos=_videos(case, failed, nearest))
    except Exception as error:  # an environment of others may fail in any way when it draws
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        case.notes.append(f"videos: the environment does not draw itself ({reason:.100})")
    return Films(curves=_plots(case, failed, nearest))


def _nearest(case: Case, failed: Sequence[EpisodeResult]) -> list[int]:
    """Return the position of the demonstration whose start is nearest to each episode's."""
    scale = case.demonstrations.spread()
    firsts = np.stack([observations(case, e)[0] for e in failed]) / scale
    rows, _ = neighbours(firsts, case.demonstrations.starts / scale, k=1)
    return [int(row) for row in rows[:, 0]]


def _videos(
    case: Case, failed: Sequence[EpisodeResult], nearest: Sequence[int]
) -> list[dict[str, Any]]:
    from kinoise.envs.rollouts import Recording, rollout

    make_env = partial(case.make_env or tasks.make_env(case.task), render_mode="rgb_array")
    make_actor = assembly.controller_factory(case.checkpoint)
    seeds = [e.seed for e in failed]
    shown = rollout(make_env, make_actor, seeds, record=Recording(frame_stride=1), n_envs=1)
    rate = _rate(case)
    videos = []
    for episode, number in zip(shown, nearest, strict=True):
        videos.append(_video(f"fails: seed {episode.seed}", episode.frames, rate))
        frames, how = _demonstration(case, number, make_env)
        if frames is not None:
            name = case.demonstrations.episodes[number]
            videos.append(_video(f"nearest demonstration: {name}", frames, rate, how))
    return videos


def _video(title: str, frames: Any, rate: float, caption: str = "") -> dict[str, Any]:
    return {"title": title, "caption": caption, "mp4_bytes": encode_mp4(frames, fps=rate)}


def _demonstration(case: Case, number: int, make_env: Any) -> tuple[NDArray[np.uint8] | None, str]:
    """Return a demonstration's pictures: stored ones, else of its replay; None for neither."""
    from kinoise.datasets.keys import is_image

    episode = int(case.demonstrations.episodes[number])
    pictures = [key for key in case.buffer.keys if is_image(case.buffer[key].shape)]
    if pictures:
        values = case.buffer.read(pictures[0], *case.buffer.bounds(episode))
        if values.dtype == np.uint8 and values.shape[-1] == 3:
            return values, "as recorded"
    seed = int(case.demonstrations.seeds[number])
    if seed < 0:
        return None, ""
    rows = slice(int(case.demonstrations.begins[number]), int(case.demonstrations.ends[number]))
    env = make_env()
    try:
        env.reset(seed=seed)
        frames = [env.render()]
        for action in case.demonstrations.action[rows]:
            _, _, terminated, truncated, _ = env.step(action.astype(env.action_space.dtype))
            frames.append(env.render())
            if terminated or truncated:
                break
        return np.stack(frames), "replayed"
    finally:
        env.close()


def _rate(case: Case) -> float:
    recorded: Any = case.buffer.attrs.get("control_rate_hz")
    return float(recorded) if recorded else tasks.control_rate(case.task)


def _plots(case: Case, failed: Sequence[EpisodeResult], nearest: Sequence[int]) -> dict[str, Any]:
    """Return charts of the dimensions that move most, of each rollout and its demonstration."""
    demonstrations = case.demonstrations
    curves: dict[str, Any] = {}
    for episode, number in zip(failed, nearest, strict=True):
        rows = slice(int(demonstrations.begins[number]), int(demonstrations.ends[number]))
        shown = observations(case, episode)
        recorded = demonstrations.obs[rows]
        moving = np.argsort(-recorded.std(0) / demonstrations.spread())[:N_DIMENSIONS]
        for dimension in sorted(moving.tolist()):
            title = f"{demonstrations.names[dimension]}, seed {episode.seed} | step"
            curves[title] = {
                "failing rollout": list(enumerate(shown[:, dimension].tolist())),
                f"demonstration {demonstrations.episodes[number]}": list(
                    enumerate(recorded[:, dimension].tolist())
                ),
            }
    return curves
