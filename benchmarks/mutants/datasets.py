"""Faults in windows, the loader, the moments and the symmetry."""

from __future__ import annotations

from .row import Change, Target

LOADER = "tests/datasets/test_loader.py"
WINDOWS = "tests/datasets/test_windows.py"

DATASETS = [
    Target(
        "datasets/windows.py",
        WINDOWS,
        [
            Change(
                "padding before is To",
                "n_obs_steps - 1 if pad_before is None",
                "n_obs_steps if pad_before is None",
            ),
            Change(
                "padding after is Ta",
                "n_action_steps - 1 if pad_after is None",
                "n_action_steps if pad_after is None",
            ),
            Change(
                "an episode's last window is left out",
                "counts = np.maximum(ends - begins - horizon + after + before + 1, 0)",
                "counts = np.maximum(ends - begins - horizon + after + before, 0)",
            ),
            Change(
                "windows reach into the next episode",
                "last=np.repeat(ends - 1, counts),",
                "last=np.repeat(ends, counts),",
            ),
            Change(
                "windows start where no padding is",
                "start=np.repeat(begins - before, counts) + ordinal,",
                "start=np.repeat(begins, counts) + ordinal,",
            ),
            Change(
                "the mask shows one padded step",
                "& (steps <= self.last[select, None])",
                "& (steps <= self.last[select, None] + 1)",
            ),
            Change(
                "repeated actions are masked",
                'if self.padding == "repeat":',
                "if False:",
            ),
            Change(
                "an episode that was skipped is not named",
                "for episode in chosen[counts == 0]",
                "for episode in chosen[counts < 0]",
            ),
            Change(
                "the split's seed does not count",
                "np.random.Philox(key=[seed, 0])",
                "np.random.Philox(key=[0, 0])",
            ),
            Change(
                "validation episodes are trained on",
                "return np.sort(order[count:]), np.sort(order[:count])",
                "return np.sort(order), np.sort(order[:count])",
            ),
            Change(
                "the last episodes are those set aside",
                "np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(n_episodes)",
                "np.arange(n_episodes)[::-1]",
            ),
            Change(
                "the horizon may be one too short",
                "if n_obs_steps - 1 + n_action_steps > horizon:",
                "if n_obs_steps - 1 + n_action_steps > horizon + 1:",
            ),
        ],
    ),
    Target(
        "datasets/loader.py",
        LOADER,
        [
            Change(
                "every epoch has the same order",
                "np.random.Philox(key=[self.seed, epoch])",
                "np.random.Philox(key=[self.seed, 0])",
            ),
            Change(
                "a loader's seed does not count",
                "np.random.Philox(key=[self.seed, epoch])",
                "np.random.Philox(key=[0, epoch])",
            ),
            Change(
                "the rest of an epoch is dropped where it should wrap",
                'self.batches_per_epoch = whole + (1 if rest and last_batch == "wrap" else 0)',
                "self.batches_per_epoch = max(1, whole)",
            ),
            Change(
                "observations are those of the window's end",
                "obs_rows = torch.from_numpy(action_rows[:, : self.windows.n_obs_steps]",
                "obs_rows = torch.from_numpy(action_rows[:, -self.windows.n_obs_steps :]",
            ),
            Change(
                "the pass over validation windows leaves the rest out",
                "for begin in range(0, len(self.windows), self.batch_size):",
                "for begin in range(0, len(self.windows) - self.batch_size + 1, self.batch_size):",
            ),
            Change(
                "the mirror is not applied",
                "return batch if self.symmetry is None else",
                "return batch if True else",
                tests="tests/datasets/test_symmetry.py",
            ),
            Change(
                "validation windows are mirrored",
                'batch_size=size, seed=seed, last_batch="wrap"\n',
                'batch_size=size, seed=seed, last_batch="wrap", symmetry=train_loader.symmetry\n',
            ),
            Change(
                "the training's episodes are all of them",
                "        train_episodes=train,\n",
                "        train_episodes=np.arange(n_used),\n",
            ),
            Change(
                "a batch may take any memory",
                "if batch_size * window > BATCH_BYTES:",
                "if False:",
            ),
        ],
    ),
    Target(
        "datasets/memory.py",
        LOADER,
        [
            Change(
                "numbers that are not finite are loaded",
                "if not finite.all():",
                "if False:",
            ),
            Change(
                "pictures with other numbers are cut to bytes",
                "if not np.array_equal(pixels, rows):",
                "if False:",
            ),
            Change(
                "every picture is held in memory",
                "elif math.prod(shape) <= memory_bytes:",
                "elif True:",
            ),
            Change(
                "each key has the whole memory",
                "            memory_bytes -= math.prod(shape)\n",
                "",
            ),
            Change(
                "all steps are loaded though few episodes are asked for",
                "n_steps = int(buffer.episode_ends[count_episodes(buffer, n_episodes) - 1])",
                "n_steps = buffer.n_steps",
            ),
        ],
    ),
    Target(
        "datasets/moments.py",
        "tests/datasets/test_moments.py",
        [
            Change(
                "the deviation forgets that means move",
                "        self.squares += shift**2 * (self.count * len(rows) / total)\n",
                "",
            ),
            Change(
                "the deviation divides by n - 1",
                "np.sqrt(self.squares / self.count)",
                "np.sqrt(self.squares / (self.count - 1))",
            ),
            Change(
                "episodes that were not chosen count",
                "chosen = range(buffer.n_episodes) if episodes is None else episodes",
                "chosen = range(buffer.n_episodes)",
            ),
            Change(
                "mirrored values are left out of the moments",
                "if symmetry is not None and mirrored:",
                "if False:",
            ),
            Change(
                "the low quantile is the fifth percent",
                "np.quantile(sample, [0.01, 0.99], axis=0)",
                "np.quantile(sample, [0.05, 0.99], axis=0)",
            ),
            Change(
                "quantiles see the first blocks alone",
                "self.sample.add(rows)",
                "self.count or self.sample.add(rows)",
            ),
            Change(
                "a constant has a deviation",
                '"std": np.where(constant, 0.0, np.sqrt(self.squares / self.count)),',
                '"std": np.sqrt(self.squares / self.count),',
            ),
        ],
    ),
    Target(
        "datasets/symmetry.py",
        "tests/datasets/test_symmetry.py",
        [
            Change(
                "the matrix is transposed",
                "return torch.addmm(offset, flat, matrix.T)",
                "return torch.addmm(offset, flat, matrix)",
            ),
            Change(
                "the offset has the other sign",
                "return torch.addmm(offset, flat, matrix.T)",
                "return torch.addmm(-offset, flat, matrix.T)",
            ),
            Change(
                "every row is mirrored",
                'generator.random(len(batch["action"])) < 0.5',
                'generator.random(len(batch["action"])) < 1.0',
            ),
            Change(
                "every batch mirrors the same rows",
                "(1 << 40) + step",
                "(1 << 40)",
            ),
            Change(
                "actions are not mirrored with their observations",
                '"action": mapped("action", batch["action"])',
                '"action": batch["action"]',
            ),
            Change(
                "the image for the moments forgets its offset",
                "flat @ matrix.T + offset",
                "flat @ matrix.T",
                tests="tests/datasets/test_symmetry.py tests/datasets/test_moments.py",
            ),
        ],
    ),
]
