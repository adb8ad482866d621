"""A trained policy at work, as an animated picture.

kinoise demo
python docs/figures/rollout.py runs/demo/policy
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from style import ASSETS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEEDS = (200_003, 200_011, 200_020)
SIZE = 280
REST = 8  # pictures that show the end, before it begins again


def film(policy: str, seeds: tuple[int, ...] = SEEDS) -> tuple[NDArray[np.uint8], float]:
    """Run a policy in episodes of PickPlace and return them side by side.

    Args:
        policy: a checkpoint of `task=pick_place`.
        seeds: one episode each.

    Returns:
        Pictures uint8 `[T, h, n w, 3]`, and how many of them make a second.
    """
    import numpy as np

    from kinoise.envs import make_env
    from kinoise.policy import load_policy
    from kinoise.policy.control.receding_horizon import RecedingHorizonController

    env = make_env("kinoise/PickPlace-v0", render_mode="rgb_array", frame_size=(SIZE, SIZE))
    controller = RecedingHorizonController.from_policy(load_policy(policy))
    episodes = [_episode(env, controller, seed) for seed in seeds]
    rate = float(env.metadata["render_fps"])
    env.close()

    length = max(map(len, episodes)) + REST
    held = [frames + [frames[-1]] * (length - len(frames)) for frames in episodes]
    return np.concatenate([np.stack(frames) for frames in held], axis=2), rate


def _episode(env: Any, controller: Any, seed: int) -> list[NDArray[np.uint8]]:
    """Return a picture of every step of one episode."""
    obs, info = env.reset(seed=seed)
    frames, ended = [env.render()], False
    while not ended:
        action = controller([obs], [seed], [len(frames) - 1])[0]
        obs, _, terminated, truncated, info = env.step(action)
        frames.append(env.render())
        ended = terminated or truncated

    print(f"seed {seed}: {'success' if info['success'] else 'failure'}, {len(frames) - 1} steps")
    return frames


def save(frames: NDArray[np.uint8], fps: float, out: Path) -> Path:
    """Write pictures uint8 `[T, h, w, 3]` as an animated WebP that repeats for ever."""
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in frames]
    out.parent.mkdir(parents=True, exist_ok=True)
    duration = round(1000 / fps)
    first.save(
        out, save_all=True, append_images=rest, duration=duration, loop=0, quality=70, method=6
    )
    return out


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", help="a checkpoint, or a run's folder")
    parser.add_argument("--out", type=Path, default=ASSETS / "pick_place.webp")
    arguments = parser.parse_args()

    os.environ.setdefault("MUJOCO_GL", "egl")
    path = save(*film(arguments.policy), arguments.out)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
