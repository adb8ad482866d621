"""Faults in how a policy is stored, built again and driven."""

from __future__ import annotations

from .row import Change, Target

RUNNING = [
    Target(
        "policy/checkpoints/atomic.py",
        "tests/policy/checkpoints/test_atomic.py",
        [
            Change(
                "a checkpoint is written in place",
                "        yield temporary\n",
                "        shutil.rmtree(path, ignore_errors=True)\n"
                "        path.mkdir()\n"
                "        yield path\n"
                "        return\n",
            ),
            Change(
                "the old checkpoint is removed before the new one has its name",
                "elif not _exchange(temporary, path):",
                "elif shutil.rmtree(path) or not _exchange(temporary, path):",
            ),
            Change(
                "the parts of a checkpoint are not synced",
                "        for file in temporary.iterdir():\n            _sync(file)\n",
                "",
            ),
        ],
    ),
    Target(
        "policy/checkpoints/folder.py",
        "tests/policy/checkpoints/test_atomic.py tests/policy/checkpoints/test_folder.py"
        "::test_a_run_folder_means_its_best_checkpoint_then_its_last",
        [
            Change(
                "the last checkpoint is preferred to the best",
                '_PREFERRED = ("best", "last")',
                '_PREFERRED = ("last", "best")',
            ),
            Change(
                "any folder may be replaced by a checkpoint",
                "if path.exists() and not is_checkpoint(path):",
                "if False:",
                tests="tests/policy/checkpoints/test_hostile.py"
                "::test_a_folder_that_is_no_checkpoint_is_never_replaced",
            ),
            Change(
                "a checkpoint that was put aside is not found",
                'if (aside(path) / "policy.safetensors").is_file():',
                "if False:",
            ),
            Change(
                "a recorded metric drops the others",
                'meta["metrics"] = {**meta["metrics"], **metrics}',
                'meta["metrics"] = dict(metrics)',
            ),
            Change(
                "metrics are written in place",
                '    temporary = path / f".meta.json.{os.getpid()}.tmp"',
                '    temporary = path / "meta.json"',
            ),
            Change(
                "a link is removed before it is set anew",
                "    temporary.symlink_to(target.name)\n",
                "    (target.parent / name).unlink(missing_ok=True)\n"
                "    temporary.symlink_to(target.name)\n",
            ),
        ],
    ),
    Target(
        "policy/checkpoints/loading.py",
        "tests/policy/checkpoints/test_folder.py"
        "::test_a_loaded_policy_is_in_evaluation_with_every_part_of_it "
        "tests/policy/checkpoints/test_folder.py::test_another_sampler_can_be_chosen_at_loading "
        "tests/policy/checkpoints/test_hostile.py"
        "::test_a_hostile_folder_is_refused_in_one_line_and_runs_nothing",
        [
            Change(
                "load_policy without eval()",
                "return policy.to(device).eval()",
                "return policy.to(device)",
            ),
            Change(
                "weights that are not finite are loaded",
                "if not bool(tensor.isfinite().all()):",
                "if False:",
            ),
            Change(
                "a chosen sampler is ignored",
                "if sampler is None else sampler\n",
                "\n",
            ),
        ],
    ),
    Target(
        "policy/checkpoints/reading.py",
        "tests/policy/checkpoints/test_reading.py tests/policy/checkpoints/test_hostile.py"
        "::test_a_hostile_folder_is_refused_in_one_line_and_runs_nothing",
        [
            Change(
                "a table may look ahead",
                "if bool((estimate[rows, columns] != 0).any()):",
                "if False:",
            ),
            Change(
                "a table's times may leave [0, 1]",
                "if bool((t < 0).any()) or bool((t > 1).any()):",
                "if False:",
            ),
            Change(
                "placeholders are taken from a file",
                'elif isinstance(value, str) and "${" in value:',
                "elif False:",
            ),
        ],
    ),
    Target(
        "policy/build.py",
        "tests/policy/test_build.py",
        [
            Change(
                "a class of any name may be built where its package is not trusted",
                'if any(target.startswith(f"{package}.") for package in allow):',
                "if True:",
                tests="tests/policy/test_build.py tests/policy/checkpoints/test_hostile.py",
            ),
            Change(
                "private classes may be named",
                'if _fits(value, bases) and not name.startswith("_"):',
                "if _fits(value, bases):",
                equivalent="no face holds a private subclass of a slot's base today",
            ),
            Change(
                "arguments of past versions keep their names",
                "arguments = {names.get(key, key): value for key, value in arguments.items()}",
                "arguments = dict(arguments)",
            ),
        ],
    ),
    Target(
        "policy/control/receding_horizon.py",
        "tests/policy/control/test_receding_horizon.py",
        [
            Change(
                "execution begins one action late",
                "first = self.n_obs_steps - 1",
                "first = self.n_obs_steps",
            ),
            Change(
                "every episode draws the same noise",
                "generator = torch.Generator().manual_seed(seed)",
                "generator = torch.Generator().manual_seed(0)",
            ),
            Change(
                "step zero does not begin an episode afresh",
                "if fresh or seed not in self._streams:",
                "if seed not in self._streams:",
            ),
            Change(
                "the history begins with one observation",
                "history = deque([observation] * self.n_obs_steps, maxlen=self.n_obs_steps)",
                "history = deque([observation], maxlen=self.n_obs_steps)",
            ),
            Change(
                "ended episodes are kept",
                "self._streams = {seed: s for seed, s in self._streams.items() if seed in running}",
                "pass",
            ),
            Change(
                "actions that are not finite are executed",
                "if not np.isfinite(found).all():",
                "if False:",
            ),
            Change(
                "the chunk in execution is not handed on",
                "known = [stream.chunks[-1] for stream in streams if stream.chunks]",
                "known = []",
            ),
            Change(
                "an episode without a chunk hands on zeros",
                "none = np.full_like(known[0], np.nan)",
                "none = np.zeros_like(known[0])",
            ),
        ],
    ),
    Target(
        "policy/control/pacing.py",
        "tests/policy/control/test_pacing.py",
        [
            Change(
                "ticks are due after the last one, and drift",
                "self._due = self._start + tick / self._rate_hz",
                "self._due = max(self._due, now) + (tick > 0) / self._rate_hz",
            ),
            Change(
                "a miss is half a period",
                "(self.latencies > 1 / self.rate_hz)",
                "(self.latencies > 0.5 / self.rate_hz)",
            ),
            Change("one tick too many", "tick >= self._n_ticks", "tick > self._n_ticks"),
        ],
    ),
    Target(
        "policy/control/threads.py",
        "tests/policy/control/test_receding_horizon.py",
        [
            Change(
                "the number of threads stays",
                "        torch.set_num_threads(before)",
                "        pass",
            ),
        ],
    ),
]
