"""Small sources of every foreign format, written as their own software writes them."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Episode = dict[str, NDArray[Any]]

ENV_ARGS = {
    "env_name": "Lift",
    "type": 1,
    "env_kwargs": {
        "control_freq": 20,
        "controller_configs": {"type": "OSC_POSE", "control_delta": True, "output_max": [0.05] * 6},
    },
}


def make_episodes(lengths: Sequence[int] = (6, 7, 9), seed: int = 0) -> list[Episode]:
    """Return episodes of `obs` [T, 3] and `action` [T, 2], float32."""
    generator = np.random.default_rng(seed)
    return [
        {
            "obs": generator.normal(size=(length, 3)).astype(np.float32),
            "action": generator.normal(size=(length, 2)).astype(np.float32),
        }
        for length in lengths
    ]


def joined(episodes: Sequence[Episode], key: str) -> NDArray[Any]:
    """Return a key of all episodes end to end."""
    return np.concatenate([episode[key] for episode in episodes])


def ends_of(episodes: Sequence[Episode]) -> NDArray[np.int64]:
    """Return the row after each episode's last."""
    return np.cumsum([len(episode["action"]) for episode in episodes])


def write_npz(folder: Path, episodes: Sequence[Episode], **more: Any) -> Path:
    path = folder / "demos.npz"
    flat = {key: joined(episodes, key) for key in episodes[0]}
    np.savez_compressed(path, **flat, episode_ends=ends_of(episodes), **more)
    return path


def write_npz_folder(folder: Path, episodes: Sequence[Episode]) -> Path:
    path = folder / "demos"
    path.mkdir()
    for number, episode in enumerate(episodes):
        np.savez(path / f"episode_{number}.npz", **episode)
    return path


def write_csv(folder: Path, episodes: Sequence[Episode]) -> Path:
    """Write a file an episode, every number so that it reads back the same."""
    path = folder / "tables"
    path.mkdir()
    for number, episode in enumerate(episodes):
        with (path / f"episode_{number}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["obs_0", "obs_1", "obs_2", "action_0", "action_1"])
            for row in np.concatenate([episode["obs"], episode["action"]], axis=1):
                writer.writerow([repr(float(number)) for number in row])
    return path


def write_pickle(folder: Path, episodes: Sequence[Episode]) -> Path:
    path = folder / "demos.pkl"
    path.write_bytes(pickle.dumps([{**episode, "seed": 3} for episode in episodes]))
    return path


def write_hdf5(folder: Path, episodes: Sequence[Episode]) -> Path:
    """Write a group an episode."""
    import h5py

    path = folder / "demos.hdf5"
    with h5py.File(path, "w") as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"trajectory_{number}")
            group["state"] = episode["obs"]
            group["action"] = episode["action"]
    return path


def write_robomimic(folder: Path, episodes: Sequence[Episode]) -> Path:
    import h5py

    path = folder / "low_dim.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(ENV_ARGS)
        for number, episode in enumerate(episodes):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = len(episode["action"])
            demo.create_dataset("actions", data=episode["action"], compression="gzip")
            demo.create_dataset("obs/object", data=episode["obs"], compression="gzip")
            demo["dones"] = np.zeros(len(episode["action"]), dtype=np.int64)
        names = np.array([f"demo_{number}" for number in range(len(episodes))], dtype="S8")
        file["mask/train"] = names[:-1]
        file["mask/valid"] = names[-1:]
    return path


def write_aloha(folder: Path, episodes: Sequence[Episode]) -> Path:
    import h5py

    path = folder / "aloha"
    path.mkdir()
    for number, episode in enumerate(episodes):
        with h5py.File(path / f"episode_{number}.hdf5", "w") as file:
            file.attrs["sim"] = True
            file["action"] = episode["action"]
            file["observations/qpos"] = episode["obs"]
            pictures = np.full((len(episode["action"]), 4, 5, 3), number, dtype=np.uint8)
            file.create_dataset("observations/images/top", data=pictures, chunks=(1, 4, 5, 3))
    return path


def write_minari(folder: Path, episodes: Sequence[Episode]) -> Path:
    import h5py

    path = folder / "pendulum-v0"
    (path / "data").mkdir(parents=True)
    with h5py.File(path / "data" / "main_data.hdf5", "w") as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs["seed"] = 7 + number
            last = episode["obs"][-1:] + 1
            group["observations"] = np.concatenate([episode["obs"], last])
            group["actions"] = episode["action"]
            group["terminations"] = np.zeros(len(episode["action"]), dtype=bool)
    described = {
        "env_spec": json.dumps({"id": "Pendulum-v1"}),
        "action_space": json.dumps({"type": "Box", "low": [-9.0, -9.0], "high": [9.0, 9.0]}),
    }
    (path / "data" / "metadata.json").write_text(json.dumps(described))
    return path


def write_d4rl(folder: Path, episodes: Sequence[Episode]) -> Path:
    import h5py

    path = folder / "maze.hdf5"
    ends = ends_of(episodes)
    terminals = np.zeros(ends[-1], dtype=bool)
    terminals[ends[:1] - 1] = True
    timeouts = np.zeros(ends[-1], dtype=bool)
    timeouts[ends[1:] - 1] = True
    with h5py.File(path, "w") as file:
        file["observations"] = joined(episodes, "obs")
        file["actions"] = joined(episodes, "action")
        file["rewards"] = np.zeros(ends[-1])
        file["terminals"] = terminals
        file["timeouts"] = timeouts
        file["infos/qpos"] = joined(episodes, "obs")
    return path


Writer = Callable[[Path, Sequence[Episode]], Path]
WRITERS: dict[str, Writer] = {
    "npz": write_npz,
    "npz_folder": write_npz_folder,
    "csv": write_csv,
    "pickle": write_pickle,
    "hdf5": write_hdf5,
    "robomimic": write_robomimic,
    "aloha": write_aloha,
    "minari": write_minari,
    "d4rl": write_d4rl,
}
#: What the key of the observations is called after an import.
OBS_KEYS = {"hdf5": "state", "robomimic": "object", "aloha": "qpos"}
