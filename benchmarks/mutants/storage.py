"""Faults in data sets on disk."""

from __future__ import annotations

from .row import Change, Target

BUFFER = "tests/datasets/storage/test_replay_buffer.py"
SEEDS = "tests/datasets/storage/test_seeds.py"

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
        f"{BUFFER} {SEEDS}",
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
            Change(
                "blocks leave the last rows out",
                "for start in range(0, stop, rows):",
                "for start in range(0, stop - rows + 1, rows):",
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
    Target(
        "datasets/storage/validation.py",
        BUFFER,
        [
            Change(
                "episodes with NaN are taken",
                'if values.dtype.kind == "f" and not np.isfinite(values).all():',
                "if False:",
            ),
            Change(
                "another dtype is taken",
                "given = (values.dtype, values.shape[1:])",
                "given = (array.dtype, values.shape[1:])",
            ),
        ],
    ),
    Target(
        "datasets/storage/directory.py",
        f"tests/datasets/storage/test_replacing.py {BUFFER}",
        [
            Change(
                "a foreign folder may be replaced",
                'if not (path / "zarr.json").is_file() or not (path / "meta" / "episode_ends")'
                '.is_dir():\n        raise DatasetError(f"{path} exists',
                'if False:\n        raise DatasetError(f"{path} exists',
            ),
            Change(
                "a data set is replaced unasked",
                "    if not overwrite:",
                "    if False:",
            ),
            Change(
                "what was replaced stays on the disk",
                "    sync_directory(path.parent)\n    shutil.rmtree(old, ignore_errors=True)\n",
                "    sync_directory(path.parent)\n",
            ),
        ],
    ),
    Target(
        "datasets/storage/replacing.py",
        "tests/datasets/storage/test_replacing.py",
        [
            Change(
                "the new data set is written in the old one's place",
                "    temporary = unfinished(path)\n",
                "    temporary = path\n",
            ),
            Change(
                "an empty data set replaces a full one",
                "            if not buffer.n_episodes:",
                "            if False:",
            ),
            Change(
                "an unfinished data set stays after an error",
                "        discard(temporary)\n",
                "",
            ),
        ],
    ),
    Target(
        "datasets/storage/layout.py",
        BUFFER,
        [
            Change(
                "chunks have no checksum",
                'compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), '
                "Crc32cCodec()],",
                'compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")],',
            ),
            Change(
                "a newer schema is read",
                "if not isinstance(version, int) or version > SCHEMA_VERSION:",
                "if False:",
            ),
            Change(
                "a key that is too short is read",
                "if array.shape[0] < n_steps:",
                "if False:",
            ),
        ],
    ),
    Target(
        "datasets/storage/attributes.py",
        BUFFER,
        [
            Change(
                "a rate of zero is taken",
                "math.isfinite(value) and value > 0",
                "math.isfinite(value)",
            ),
            Change(
                "low may equal high",
                "        if not lower < upper:",
                "        if not lower <= upper:",
            ),
        ],
    ),
]
