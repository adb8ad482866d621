"""Faults in data sets on disk."""

from __future__ import annotations

from .row import Change, Target

BUFFER = "tests/datasets/storage/test_replay_buffer.py"
SEEDS = "tests/datasets/storage/test_seeds.py"
DAMAGE = "tests/datasets/storage/test_damage.py"

STORAGE = [
    Target(
        "datasets/storage/store.py",
        "tests/datasets/storage/test_store.py",
        [
            Change(
                "chunks are written in place",
                '    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")\n',
                "    temporary = path\n",
            ),
            Change(
                "an interrupted write leaves its file",
                "        temporary.unlink(missing_ok=True)\n        raise",
                "        raise",
            ),
            Change("writes are not synced", "            os.fsync(file.fileno())\n", ""),
        ],
    ),
    Target(
        "datasets/storage/replay_buffer.py",
        f"{BUFFER} {SEEDS} {DAMAGE}",
        [
            Change(
                "an episode begins one step early",
                "start = self.episode_ends[episode - 1] if episode else 0",
                "start = self.episode_ends[episode - 1] - 1 if episode else 0",
            ),
            Change(
                "two writers may meet",
                'lock = lock_directory(path) if mode == "a" else None',
                'lock = os.open(path, os.O_RDONLY) if mode == "a" else None',
            ),
            Change(
                "steps beyond the last episode are kept",
                "if array.shape[0] > self.n_steps:",
                "if False:",
            ),
            Change(
                "steps and episodes need not add up",
                "if sum(lengths) != self._staged or min(lengths, default=1) < 1:",
                "if min(lengths, default=1) < 1:",
            ),
            Change(
                "the ends are written before the seeds",
                "            self._seeds.stage(len(lengths), seeds)\n"
                "            extend_at_once(self._ends, new)\n",
                "            extend_at_once(self._ends, new)\n"
                "            self._seeds.stage(len(lengths), seeds)\n",
            ),
            Change(
                "a reader may append",
                "if self._lock is None:",
                "if False:",
            ),
            Change(
                "damage names the wrong number of whole episodes",
                'int(np.searchsorted(self.episode_ends, start, side="right"))',
                'int(np.searchsorted(self.episode_ends, start, side="right")) + 1',
            ),
        ],
    ),
    Target(
        "datasets/storage/seeds.py",
        SEEDS,
        [
            Change(
                "the next seed is the count",
                "return max(self.tried, default=-1) + 1",
                "return len(self.tried)",
            ),
            Change(
                "a seed may be tried twice",
                "if seed in self.tried:",
                "if False:",
            ),
            Change(
                "rejected seeds are not counted",
                "{*self.of_episodes.tolist(), *self.rejected.tolist()}",
                "{*self.of_episodes.tolist()}",
            ),
            Change(
                "seeds of episodes that were never committed are read",
                "known = _read(meta, EPISODE_SEED)[:n_episodes]",
                "known = _read(meta, EPISODE_SEED)\n"
                "        self.of_episodes = np.full(max(n_episodes, len(known)), UNKNOWN)",
            ),
        ],
    ),
]
