"""Names by which plain arrays are known, in small letters: the written rules of what is guessed.

A name counts by its last part: `observations/qpos` is `qpos`. Whatever is guessed is reported.
"""

from __future__ import annotations

ACTION_NAMES = ("action", "actions", "act", "acts")
OBS_NAMES = ("obs", "observation", "observations")

#: Ways to mark episodes and their names, the most certain first.
MARKS = {
    "episode_ends": ("episode_ends", "ep_ends", "traj_ends"),
    "episode_lengths": (
        "episode_lengths",
        "episode_length",
        "episode_lens",
        "ep_lengths",
        "ep_lens",
        "traj_lengths",
        "lengths",
    ),
    "episode_starts": ("episode_starts", "ep_starts", "traj_starts"),
    "episode_index": (
        "episode_index",
        "episode_id",
        "episode_ids",
        "episode",
        "episodes",
        "episode_number",
        "traj_id",
        "traj_index",
        "trajectory",
        "trajectory_id",
        "demo",
        "demo_id",
    ),
    "done": (
        "done",
        "dones",
        "terminal",
        "terminals",
        "terminated",
        "terminations",
        "truncated",
        "truncations",
        "timeout",
        "timeouts",
        "is_last",
    ),
}

SEED_NAMES = ("seed", "seeds", "reset_seed", "reset_seeds", "episode_seed", "episode_seeds")
TIME_NAMES = ("timestamp", "timestamps", "time", "times", "time_s")
RATE_NAMES = ("control_rate_hz", "control_freq", "control_frequency", "fps", "frequency", "hz")
PERIOD_NAMES = ("dt", "control_dt", "timestep_s")
ENV_NAMES = ("env_id", "env_name", "env")

#: Of no use to imitation, so copied only when asked for.
LEFT_OUT = (
    "reward",
    "rewards",
    "return",
    "returns",
    "discount",
    "discounts",
    "next_obs",
    "next_observation",
    "next_observations",
    "next_state",
    "next_states",
    "is_first",
    "is_terminal",
    "frame_index",
    "step_index",
    "index",
    "step",
    "steps",
)

#: Names in `keys={...}` that tell a role instead of naming a key.
ROLES = ("action", *MARKS, "seed", "timestamp")
