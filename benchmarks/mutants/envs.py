"""Faults in rollouts, environments and intervals."""

from __future__ import annotations

from .row import Change, Target

ENVS = [
    Target(
        "envs/rollouts/episodes.py",
        "tests/envs/rollouts/test_control_loop.py tests/envs/rollouts/test_episodes.py",
        [
            Change(
                "success is that of the last step",
                'self._success |= bool(info["success"])',
                'self._success = bool(info["success"])',
            ),
            Change(
                "the score is that of the last step",
                'self._score = max(self._score, float(info["score"]))',
                'self._score = float(info["score"])',
            ),
            Change(
                "the start is not judged",
                "        self.obs, info = env.reset(seed=seed)\n        self._judge(info)\n",
                "        self.obs, info = env.reset(seed=seed)\n",
            ),
            Change(
                "the return is the last reward",
                "self._return += float(reward)",
                "self._return = float(reward)",
            ),
            Change(
                "the observation after a step is recorded",
                "            self._observations.append(self.obs)\n"
                "            self._actions.append(np.array(action))\n"
                "\n"
                "        self.obs, reward, terminated, truncated, info = "
                "self._env.step(executed)\n",
                "            self._actions.append(np.array(action))\n"
                "\n"
                "        self.obs, reward, terminated, truncated, info = "
                "self._env.step(executed)\n"
                "        if self._record.trajectories:\n"
                "            self._observations.append(self.obs)\n",
            ),
            Change(
                "the disturbed action is recorded",
                "self._actions.append(np.array(action))",
                "self._actions.append(np.array(executed))",
            ),
            Change(
                "an episode lasts one step too long",
                "self.length >= self._max_steps",
                "self.length > self._max_steps",
            ),
            Change(
                "the last state is not filmed",
                "if stride == 0 or (self.length % stride and not self.ended):",
                "if stride == 0 or self.length % stride:",
            ),
            Change(
                "episodes are reset without their seed",
                "env.reset(seed=seed)",
                "env.reset(seed=0)",
            ),
        ],
    ),
    Target(
        "envs/rollouts/control_loop.py",
        "tests/envs/rollouts/test_control_loop.py tests/envs/rollouts/test_episodes.py",
        [
            Change(
                "ended episodes are stepped on",
                "running = [episode for episode in running if not episode.ended]",
                "running = running if any(not e.ended for e in running) else []",
            ),
            Change(
                "the actor is told another step",
                "steps = [episode.length for episode in running]",
                "steps = [episode.length + 1 for episode in running]",
            ),
        ],
    ),
    Target(
        "envs/rollouts/perturbation.py",
        "tests/envs/rollouts/test_episodes.py "
        "tests/envs/rollouts/test_rollout.py::test_pushes_depend_on_seed_and_step_alone",
        [
            Change(
                "pushes are the same in every episode",
                "rng = np.random.default_rng((seed, _STREAM))",
                "rng = np.random.default_rng(_STREAM)",
            ),
            Change(
                "pushes share the resets' random numbers",
                "rng = np.random.default_rng((seed, _STREAM))",
                "rng = np.random.default_rng(seed)",
            ),
            Change(
                "pushes are twice as strong",
                "rng.normal(0.0, self.scale)",
                "rng.normal(0.0, 2 * np.asarray(self.scale))",
            ),
            Change(
                "pushes never last their longest",
                "rng.integers(*self.duration, endpoint=True)",
                "rng.integers(*self.duration)",
            ),
        ],
    ),
    Target(
        "envs/intervals.py",
        "tests/envs/test_intervals.py",
        [
            Change(
                "the normal quantile has one tail",
                "inv_cdf((1 + _checked(confidence)) / 2)",
                "inv_cdf(_checked(confidence))",
            ),
            Change(
                "Wilson's centre is the rate",
                "centre = (rate + z * z / (2 * n)) / (1 + z * z / n)",
                "centre = rate",
            ),
            Change(
                "Clopper and Pearson's tail is whole",
                "tail = error / 2",
                "tail = error",
            ),
            Change(
                "the mean's interval has one tail",
                "tail = (1 - _checked(confidence)) / 2",
                "tail = 1 - _checked(confidence)",
            ),
            Change(
                "the spare weight is nowhere",
                "upper = np.quantile(weighted + spare * high, 1 - tail)",
                "upper = np.quantile(weighted, 1 - tail)",
            ),
            Change(
                "McNemar's p has one tail",
                "p_value = min(1.0, 2 * _binomial_cdf(",
                "p_value = min(1.0, _binomial_cdf(",
            ),
            Change(
                "the rate's difference spends its error twice",
                "_clopper_pearson(discordant, n, 0.2 * error)",
                "_clopper_pearson(discordant, n, error)",
            ),
            Change(
                "the rank of a mean difference is one too far inside",
                "low, high = (means[rank - 1], means[-rank]) if rank",
                "low, high = (means[rank], means[-rank - 1]) if rank",
            ),
            Change(
                "the empty subset counts",
                "members = np.arange(1, 2**n)[:, None]",
                "members = np.arange(2, 2**n)[:, None]",
            ),
            Change(
                "policies are ranked though the interval holds zero",
                'better = "A" if difference.low > 0 else',
                'better = "A" if difference.estimate > 0 else',
            ),
        ],
    ),
    Target(
        "envs/task_env.py",
        "tests/envs/test_task_env.py",
        [
            Change(
                "actions are not clipped",
                "return values.clip(space.low, space.high)",
                "return values",
            ),
            Change(
                "a success at the limit is a truncation",
                "truncated = self._n_steps >= self.max_steps and not outcome.success",
                "truncated = self._n_steps >= self.max_steps",
                tests="tests/envs/test_task_env.py tests/envs/test_tasks.py",
            ),
            Change(
                "an episode is one step too long",
                "truncated = self._n_steps >= self.max_steps and",
                "truncated = self._n_steps > self.max_steps and",
            ),
            Change(
                "a step is one substep short",
                "self.physics.step(self.n_substeps)",
                "self.physics.step(self.n_substeps - 1)",
            ),
            Change(
                "an episode inherits the last one's steps",
                "        self._n_steps = 0\n        outcome = self.task.evaluate(self.physics)",
                "        outcome = self.task.evaluate(self.physics)",
                tests="tests/envs/test_task_env.py tests/envs/test_tasks.py",
            ),
        ],
    ),
    Target(
        "envs/physics.py",
        "tests/envs/test_physics.py tests/envs/test_task_env.py",
        [
            Change(
                "poses are those before the step",
                "        mujoco.mj_step(self.model, self.data, n_substeps)\n"
                "        self._update_poses()\n",
                "        mujoco.mj_step(self.model, self.data, n_substeps)\n",
            ),
            Change(
                "the state leaves the warm start out",
                "_STATE = mujoco.mjtState.mjSTATE_INTEGRATION",
                "_STATE = mujoco.mjtState.mjSTATE_PHYSICS",
            ),
            Change(
                "views are handed out instead of copies",
                "return np.array(view, dtype=np.float64)",
                "return np.asarray(view, dtype=np.float64)",
            ),
            Change(
                "a diverged simulation goes on",
                "if not np.isfinite(self.data.qpos).all():",
                "if False:",
            ),
        ],
    ),
    Target(
        "envs/foreign/adapter.py",
        "tests/envs/foreign/test_adapter.py",
        [
            Change(
                "a time-out is a success",
                "            terminated=bool(terminated),\n",
                "            terminated=bool(terminated or truncated),\n",
            ),
            Change(
                "foreign actions are not clipped",
                "kept = action.clip(space.low, space.high)",
                "kept = action",
            ),
            Change(
                "foreign observations are not copied",
                "value = np.array(_single(flat[match.source]))",
                "value = np.asarray(_single(flat[match.source]))",
            ),
            Change(
                "clipped steps are not counted",
                "return kept.astype(space.dtype), clipped",
                "return kept.astype(space.dtype), False",
            ),
            Change(
                "actions out of bounds are never refused",
                "if clipped and self._refuses:",
                "if False:",
            ),
        ],
    ),
]
