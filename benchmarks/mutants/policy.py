"""Faults in the policy itself: what it learns from, how it samples, how it is stored and driven."""

from __future__ import annotations

from .row import Change, Target

POLICY = [
    Target(
        "policy/diffusion_policy.py",
        "tests/policy/test_wiring.py",
        [
            Change(
                "dropout hides every observation",
                "hidden = torch.rand(len(condition), generator=generator) < self.obs_dropout",
                "hidden = torch.rand(len(condition), generator=generator) < 2.0",
            ),
            Change(
                "dropout hides none",
                "hidden = torch.rand(len(condition), generator=generator) < self.obs_dropout",
                "hidden = torch.rand(len(condition), generator=generator) < 0.0",
            ),
            Change(
                "dropout draws from torch's own generator",
                "hidden = torch.rand(len(condition), generator=generator) < self.obs_dropout",
                "hidden = torch.rand(len(condition)) < self.obs_dropout",
            ),
            Change(
                "clipping is off",
                "return run_table(self.table, lambda k, x: clamp(estimate(k, x)), noises)",
                "return run_table(self.table, estimate, noises)",
            ),
            Change(
                "clip_sample counts double",
                "clip = self.clip_sample\n",
                "clip = 2 * self.clip_sample\n",
            ),
            Change(
                "the bounds of the data are taken for -1 and 1",
                "if bool((low == -1).all()) and bool((high == 1).all()):",
                "if True:",
                tests="tests/policy/test_wiring.py",
            ),
            Change(
                "a data range is clipped about zero",
                "middle = (low + high) / 2",
                "middle = 0 * (low + high)",
                tests="tests/policy/test_wiring.py",
            ),
            Change(
                "the executed part begins at index To",
                "first = self.n_obs_steps - 1\n",
                "first = self.n_obs_steps\n",
            ),
            Change(
                "a chunk leaves in normalised units",
                'return self.normalizer.unnormalize("action", chunk)',
                "return chunk",
            ),
            Change(
                "training sees actions in their own units",
                'sample = self.normalizer.normalize("action", batch["action"])',
                'sample = batch["action"]',
            ),
            Change(
                "observations are not normalised",
                "self.normalizer.normalize(key, obs[key]) for key in self.obs_shapes}",
                "obs[key] for key in self.obs_shapes}",
            ),
            Change(
                "the loss ignores the mask",
                'mask=batch.get("mask"),',
                "mask=None,",
            ),
            Change(
                "the coupling is not asked",
                "pair=None if self.coupling is None else partial(self.coupling, obs=obs),",
                "pair=None,",
            ),
            Change(
                "training knows no base",
                "base=training_base(sample, self.n_action_steps) if self.path.has_base else None,",
                "base=None,",
            ),
            Change(
                "the previous chunk is not normalised",
                'chunk = self.normalizer.normalize("action", previous.to(noises.device))',
                "chunk = previous.to(noises.device)",
            ),
            Change(
                "cached rows outlive loaded weights",
                "lambda *_: self._forget_rows()",
                "lambda *_: None",
            ),
            Change(
                "cached rows outlive a move of the policy",
                "        self._forget_rows()\n        super()._apply(fn, recurse)",
                "        super()._apply(fn, recurse)",
            ),
            Change(
                "cached rows outlive a training",
                "        self._forget_rows()\n        if isinstance(self.path, nn.Module)",
                "        if isinstance(self.path, nn.Module)",
            ),
            Change(
                "cached rows outlive a new sampler",
                "        self.table = table\n        self._forget_rows()",
                "        self.table = table",
            ),
            Change(
                "cached clamps outlive new statistics",
                "        self.normalizer.fit(statistics, self.normalization)\n"
                "        self._forget_rows()",
                "        self.normalizer.fit(statistics, self.normalization)",
            ),
            Change(
                "normalisation modes are dropped",
                "self.normalizer.fit(statistics, self.normalization)",
                "self.normalizer.fit(statistics)",
            ),
            Change(
                "the caller's guidance comes before the policy's own",
                "(*self.guidance, *guidance)",
                "(*guidance, *self.guidance)",
                tests="tests/policy/guidance/test_guidance.py",
            ),
            Change(
                "the blind estimate sees the observation",
                "nothing = self.no_obs.expand_as(encoded)",
                "nothing = encoded",
                tests="tests/policy/test_diffusion_policy.py"
                "::test_without_an_observation_the_estimate_ignores_it",
            ),
            Change(
                "the weight of a learned loss is no module of the policy",
                "self.learned_weight = weight if isinstance(weight, nn.Module) else None",
                "self.learned_weight = None",
                tests="tests/policy/training/test_trainer.py"
                "::test_a_learned_weight_is_trained_with_the_network",
            ),
            Change(
                "horizon may be one too short",
                "if reach > self.horizon:",
                "if reach > self.horizon + 1:",
            ),
        ],
    ),
    Target(
        "policy/denoiser.py",
        "tests/policy/test_denoiser.py",
        [
            Change(
                "c_in left out in training",
                "x = x * per_token(scale).to(x)",
                "pass",
            ),
            Change(
                "c_in left out in sampling",
                "seen = seen * self._scales[k]",
                "pass",
            ),
            Change(
                "the base is not added in training",
                "seen = x if base is None else x + self.path.beta(at).to(x) * base",
                "seen = x",
            ),
            Change(
                "the base is not added in sampling",
                "seen = x if base is None else x + self._betas[k] * base",
                "seen = x",
            ),
            Change(
                "the base is added to the state that the estimate is read from",
                "return self.level(at).sample(x, self.predict(seen, times, condition, r))",
                "return self.level(at).sample(seen, self.predict(seen, times, condition, r))",
            ),
            Change(
                "a table's rows take their times in reverse",
                "for row in times]",
                "for row in times.flip(0)]",
            ),
            Change(
                "an estimate that does not exist is accepted",
                "if bool((level.det.abs() < 1e-8).any()):",
                "if False:",
            ),
        ],
    ),
    Target(
        "policy/targets.py",
        "tests/policy/test_targets.py",
        [
            Change(
                "v has the other sign",
                '"v_prediction": lambda path, t: (-path.sigma(t), path.alpha(t)),',
                '"v_prediction": lambda path, t: (path.sigma(t), -path.alpha(t)),',
            ),
            Change(
                "the score forgets sigma",
                "-1 / path.sigma(t)),",
                "-torch.ones_like(t)),",
            ),
            Change(
                "EDM's output is not scaled by sigma_data",
                "return sigma / (SIGMA_DATA * length), -alpha / length",
                "return sigma / length, -alpha / length",
            ),
            Change(
                "EDM's coordinates take sigma_data for one",
                "alpha, sigma = path.alpha(t) * SIGMA_DATA, path.sigma(t)",
                "alpha, sigma = path.alpha(t), path.sigma(t)",
            ),
        ],
    ),
    Target(
        "policy/normalizer.py",
        "tests/policy/test_normalizer.py",
        [
            Change(
                "standard normalises by three deviations",
                'return stats["mean"], stats["std"]',
                'return stats["mean"], 3 * stats["std"]',
            ),
            Change(
                "minmax maps to half the range",
                '(stats["max"] - stats["min"]) / 2',
                '(stats["max"] - stats["min"])',
            ),
            Change("constants are found at a hundredth", "CONSTANT = 1e-4", "CONSTANT = 1e-2"),
            Change("no dimension is nearly constant", "CONSTANT = 1e-4", "CONSTANT = 0.0"),
            Change("rounding noise counts as motion", "NOTHING = 1e-6", "NOTHING = 0.0"),
            Change(
                "a constant dimension comes back scaled",
                "scale = torch.where(constant, 0.0, scale)",
                "scale = torch.where(constant, 1.0, scale)",
            ),
            Change(
                "a constant of the standard mode is centred on its mean",
                'centre = torch.where(constant, (stats["min"] + stats["max"]) / 2, centre)',
                "pass",
            ),
            Change(
                "the upper bound is that of the scale",
                'self._get(key, "high").copy_((stats["max"] - centre) / _divisor(scale))',
                'self._get(key, "high").copy_(torch.ones_like(scale))',
            ),
            Change(
                "the divisor is not made again from loaded weights",
                'self._get(key, "divisor").copy_(_divisor(self._get(key, "scale")))',
                "pass",
            ),
            Change(
                "statistics are cast to half precision",
                "return result if result.dtype.itemsize >= 4 else buffer.to(result.device)",
                "return result",
            ),
            Change(
                "statistics that are not finite are taken",
                "if not bool(value.isfinite().all()):",
                "if False:",
            ),
        ],
    ),
    Target(
        "policy/checkpoints/atomic.py",
        "tests/policy/checkpoints/test_atomic.py tests/policy/training/test_safety.py"
        "::test_a_kill_at_any_moment_of_saving_leaves_a_checkpoint",
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
        "tests/policy/checkpoints/test_folder.py",
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
                tests="tests/policy/checkpoints/test_folder.py tests/policy/training/test_safety.py"
                "::test_a_kill_at_any_moment_of_saving_leaves_a_checkpoint",
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
        "tests/policy/checkpoints/test_folder.py tests/policy/checkpoints/test_hostile.py"
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
            Change(
                "sizes are not held to the weights",
                "elif isinstance(node, int) and abs(node) > largest:",
                "elif False:",
            ),
            Change("the budget of a build is endless", "if self.left < 0:", "if False:"),
        ],
    ),
    Target(
        "policy/checkpoints/reading.py",
        "tests/policy/checkpoints/test_hostile.py"
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
                "aliases of YAML may multiply",
                "if count > MAX_VALUES or depth > MAX_DEPTH:",
                "if depth > MAX_DEPTH:",
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
                "if not np.isfinite(chunks).all():",
                "if False:",
            ),
            Change(
                "the chunk in execution is not handed on",
                "            stream.chunk = chunk\n",
                "",
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
    Target(
        "policy/networks/layers/embeddings.py",
        "tests/policy/networks/test_embeddings.py",
        [
            Change(
                "time features x 1 instead of x 1000", "TIME_SCALE = 1000.0", "TIME_SCALE = 1.0"
            ),
            Change(
                "the slowest frequency is a hundredth",
                "_MAX_PERIOD = 10_000.0",
                "_MAX_PERIOD = 100.0",
            ),
            Change(
                "the sinusoid is of half precision",
                "dtype = torch.promote_types(t.dtype, torch.float32)",
                "dtype = t.dtype",
                tests="tests/policy/networks/test_networks.py"
                "::test_the_sinusoid_of_a_bfloat16_time_is_float32",
            ),
        ],
    ),
    Target(
        "policy/networks/transformer.py",
        "tests/policy/networks/test_networks.py::test_a_causal_transformer_does_not_look_ahead",
        [
            Change(
                "a causal transformer looks ahead at observations",
                "seen = torch.ones(horizon, n_obs_steps).tril()",
                "seen = torch.ones(horizon, n_obs_steps)",
            ),
        ],
    ),
    Target(
        "policy/networks/layers/attention.py",
        "tests/policy/networks/test_layers.py",
        [
            Change(
                "dropout acts in evaluation",
                "return self.dropout if self.training else 0.0",
                "return self.dropout",
            ),
        ],
    ),
    Target(
        "policy/networks/scaling.py",
        "tests/policy/networks/test_scaling.py"
        "::test_only_layers_whose_inputs_grow_learn_more_slowly",
        [
            Change(
                "wider layers learn faster",
                "_fan_in(base.get_submodule(name)) / _fan_in(layer)",
                "_fan_in(layer) / _fan_in(base.get_submodule(name))",
            ),
        ],
    ),
    Target(
        "policy/encoders/image.py",
        "tests/policy/encoders/test_encoders.py",
        [
            Change(
                "pixels reach from 0 to 2",
                "return pixels.to(dtype) / 127.5 - 1.0",
                "return pixels.to(dtype) / 127.5",
            ),
            Change(
                "the last place is never cropped",
                "top = torch.randint(height - size[0] + 1, (batch, 1), device=device)",
                "top = torch.randint(height - size[0], (batch, 1), device=device)",
            ),
            Change(
                "evaluation crops at random",
                "crop = random_crop if self.training else centre_crop",
                "crop = random_crop",
            ),
            Change(
                "keypoints are at the pixels' left edges",
                "(2.0 * torch.arange(n, dtype=like.dtype, device=like.device) + 1.0)",
                "(2.0 * torch.arange(n, dtype=like.dtype, device=like.device))",
            ),
        ],
    ),
    Target(
        "policy/density/likelihood.py",
        "tests/policy/density/test_likelihood.py",
        [
            Change(
                "the likelihood is in normalised units",
                "return normalised - policy.horizon * scale[scale > 0].log().sum()",
                "return normalised",
            ),
            Change(
                "the likelihood counts the scale once a chunk",
                "return normalised - policy.horizon * scale[scale > 0].log().sum()",
                "return normalised - scale[scale > 0].log().sum()",
            ),
            Change(
                "the divergence has the other sign",
                "return level.pace * (level.cos * u[0].numel() - shrinking)",
                "return level.pace * (shrinking - level.cos * u[0].numel())",
            ),
            Change(
                "Gregory's second weight is off by a little",
                "edge = [95 / 288, 317 / 240, 23 / 30,",
                "edge = [95 / 288, 319 / 240, 23 / 30,",
            ),
            Change(
                "probes are normal instead of signs",
                "return 2.0 * torch.randint(0, 2, shape, generator=generator) - 1.0",
                "return torch.randn(shape, generator=generator)",
            ),
            Change(
                "probes are ones and zeros",
                "return 2.0 * torch.randint(0, 2, shape, generator=generator) - 1.0",
                "return 1.0 * torch.randint(0, 2, shape, generator=generator)",
            ),
            Change(
                "the prior of the noise is that of a wider normal",
                "square = (u / sigma).square().flatten(1).sum(1)",
                "square = (u / sigma).square().flatten(1).sum(1) * 0.97",
            ),
        ],
    ),
    Target(
        "policy/density/ode.py",
        "tests/policy/density/test_ode.py",
        [
            Change(
                "the flow's pace is off near the noise",
                "columns = (angle, length, angle.cos(), angle / angle.sin())",
                "columns = (angle, length, angle.cos(), angle / angle.tan())",
            ),
            Change(
                "RK4's middle slopes count once",
                "u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)",
                "u = u + h / 4 * (k1 + k2 + k3 + k4)",
            ),
        ],
    ),
    Target(
        "policy/density/familiarity.py",
        "tests/policy/density/test_familiarity.py",
        [
            Change(
                "the previous plan is continued one action late",
                "previous[:, policy.n_action_steps :], plan[:, reach:]",
                "previous[:, policy.n_action_steps - 1 : -1], plan[:, reach:]",
            ),
            Change(
                "the limit leaves out twice the rate",
                "[0.5, 1 - rate]",
                "[0.5, 1 - 2 * rate]",
            ),
        ],
    ),
    Target(
        "policy/guidance/classifier_free.py",
        "tests/policy/guidance/test_classifier_free.py",
        [
            Change(
                "the scale counts from the seeing estimate",
                "guided = blind + self.scale * (seeing - blind)",
                "guided = seeing + self.scale * (seeing - blind)",
            ),
            Change(
                "the rescale counts the other way",
                "return guided * (self.rescale * ratio + 1 - self.rescale)",
                "return guided * ((1 - self.rescale) * ratio + self.rescale)",
            ),
        ],
    ),
    Target(
        "policy/guidance/gradients.py",
        "tests/policy/guidance/test_gradients.py",
        [
            Change(
                "the gain is sigma instead of sigma squared",
                "return length * (sigma**2 / alpha if",
                "return length * (sigma / alpha if",
            ),
            Change(
                "a path's length does not count in the gain",
                "return length * (sigma**2",
                "return (sigma**2",
            ),
            Change(
                "the posterior step is half as long",
                "return edit.scale * gain(estimate, edit.limit) * estimate.vjp(gradient)",
                "return 0.5 * edit.scale * gain(estimate, edit.limit) * estimate.vjp(gradient)",
            ),
            Change(
                "the moment step ignores what a nat costs",
                "per_nat = slope / (2 * _column(cost))",
                "per_nat = slope / _column(cost)",
            ),
            Change(
                "the correction is the gradient itself, as if the Jacobian were one",
                "product = estimate.vjp(gradient)\n",
                "product = gradient\n",
            ),
            Change(
                "the step's reach is not held",
                "return estimate.sample - change * (self.reach / largest).clamp(max=1)",
                "return estimate.sample - change",
            ),
            Change(
                "samples of the cost lie on one side",
                "for sign in (1, -1)",
                "for sign in (1, 1)",
            ),
        ],
    ),
    Target(
        "policy/guidance/guided.py",
        "tests/policy/guidance/test_guidance.py tests/policy/guidance/test_constraints.py",
        [
            Change(
                "the clamp comes after the projection",
                "        if clamp is not None:\n"
                "            clamp(now.sample)\n"
                "        for edit in exact:\n"
                "            now.sample = edit(now)\n",
                "        for edit in exact:\n"
                "            now.sample = edit(now)\n"
                "        if clamp is not None:\n"
                "            clamp(now.sample)\n",
            ),
            Change(
                "guided estimates are not clamped",
                "if clamp is not None:",
                "if False:",
            ),
        ],
    ),
    Target(
        "policy/guidance/inpainting.py",
        "tests/policy/guidance/test_inpainting.py",
        [
            Change(
                "free entries are held to zero",
                "return known, torch.where(free, 0.0, held)",
                "return known, held",
            ),
            Change(
                "the pseudo-inverse's gain forgets the data's spread",
                "precision = alpha**2 + (sigma / self.spread) ** 2",
                "precision = alpha**2 + sigma",
            ),
            Change(
                "one more step is fixed",
                "return torch.where(step < n_fixed, 1.0, weights)",
                "return torch.where(step <= n_fixed, 1.0, weights)",
            ),
            Change(
                "a prefix is held in the units of the data",
                "known = estimate.to_normalized(torch.where(free, 0.0, given))",
                "known = torch.where(free, 0.0, given)",
            ),
        ],
    ),
    Target(
        "policy/guidance/sets.py",
        "tests/policy/guidance/test_sets.py",
        [
            Change(
                "Dykstra without its corrections",
                "corrections[i] = moved - x",
                "corrections[i] = 0 * x",
            ),
            Change(
                "points leave the rim by a hundredth",
                "rim = radius * (1 + _WITHIN if outside else 1 - _WITHIN)",
                "rim = radius * (1.01 if outside else 0.99)",
            ),
        ],
    ),
    Target(
        "policy/guidance/costs.py",
        "tests/policy/guidance/test_costs.py",
        [
            Change(
                "a margin widens the limits",
                "low = resolve(self.low, obs, actions, vector=True) + self.margin",
                "low = resolve(self.low, obs, actions, vector=True) - self.margin",
            ),
            Change(
                "an observed parameter is the oldest one",
                "latest = obs[value][:, -1].flatten(1)",
                "latest = obs[value][:, 0].flatten(1)",
            ),
        ],
    ),
]
