"""Faults in the policy itself: what it learns from and how it samples."""

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
                "return run(estimate if clamp is None else lambda k, x: clamp(estimate(k, x)))",
                "return run(estimate)",
            ),
            Change(
                "the executed part begins at index To",
                "first = self.n_obs_steps - 1\n",
                "first = self.n_obs_steps\n",
            ),
            Change(
                "a chunk leaves in normalised units",
                "return self.border.to_actions(chunk, obs)",
                "return chunk",
            ),
            Change(
                "training sees actions in their own units",
                "sample=self.border.to_network(action, obs),",
                "sample=action,",
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
                "base=self._training_base(action, obs) if self.path.has_base else None,",
                "base=None,",
            ),
            Change(
                "the previous chunk is not normalised",
                "write = self.border.at(obs).to_network",
                "write = lambda chunk: chunk",
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
                "nothing = self.denoiser.condition(self.no_obs.expand_as(encoded))",
                "nothing = self.denoiser.condition(encoded)",
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
        "policy/border.py",
        "tests/policy/test_border.py",
        [
            Change(
                "clip_sample counts double",
                "self._own_clamp = self._clamp_of_network(self.clip)",
                "self._own_clamp = self._clamp_of_network(2 * self.clip)",
                tests="tests/policy/test_wiring.py",
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
                "observations are not normalised",
                "self.normalizer.normalize(key, value) for key, value in seen.items()}",
                "value for key, value in seen.items()}",
                tests="tests/policy/test_wiring.py",
            ),
            Change(
                "the robot's own range is not held",
                "return self._clamp_of_robot(self.clip, self._own_clamp, self.at(obs))",
                "return self._own_clamp",
            ),
            Change(
                "running is disturbed as training is",
                "seen = chain.disturb(raw, generator) if disturb else chain.observe(raw)",
                "seen = chain.disturb(raw, generator)",
            ),
            Change(
                "actions are normalised as they are recorded",
                "actions = self.transforms.write(actions, self._recorded_keys(obs))",
                "pass",
            ),
            Change(
                "the volume of a chunk with a scale a step counts every step H times",
                "steps = 1 if scale.ndim > 1 else horizon",
                "steps = horizon",
            ),
        ],
    ),
    Target(
        "policy/buffers.py",
        "tests/policy/test_normalizer.py",
        [
            Change(
                "statistics are cast to half precision",
                "return result if result.dtype.itemsize >= 4 else buffer.to(result.device)",
                "return result",
            ),
        ],
    ),
    Target(
        "policy/transforms/frames.py",
        "tests/policy/transforms/test_frames.py",
        [
            Change(
                "a pose is turned with its reference and not back",
                "position = (rotation * offset).sum(-2)",
                "position = (rotation * offset.transpose(-1, -2)).sum(-1)",
            ),
            Change(
                "a quaternion has two readings",
                "return self._own(torch.where(product[..., :1] < 0, -product, product))",
                "return self._own(product)",
            ),
            Change(
                "a relative angle does not wrap",
                "return wrapped(rotation - by)",
                "return rotation - by",
                tests="tests/policy/transforms/test_frames.py",
            ),
        ],
    ),
    Target(
        "policy/transforms/actions.py",
        "tests/policy/transforms/test_actions.py",
        [
            Change(
                "relative actions count from the first observation",
                "return flat(obs, self.key)[:, -1:, list(self.key_columns)].to(like)",
                "return flat(obs, self.key)[:, :1, list(self.key_columns)].to(like)",
            ),
            Change(
                "errors of past steps add up",
                "past = seen[:, :now] + steps[:, :now]",
                "past = seen[:, :now] + steps[:, :now].cumsum(1)",
            ),
        ],
    ),
    Target(
        "policy/transforms/chain.py",
        "tests/policy/transforms/test_actions.py",
        [
            Change(
                "actions are read in the order of writing",
                "for each in reversed(self._transforms):",
                "for each in self._transforms:",
            ),
            Change(
                "angles stay about zero",
                "torch.where(one_turn & ~inside, turned, angles)",
                "angles",
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
                "alpha = path.alpha(t) * SIGMA_DATA",
                "alpha = path.alpha(t)",
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
                'self.get(key, "high").copy_((stats["max"] - centre) / _divisor(scale))',
                'self.get(key, "high").copy_(torch.ones_like(scale))',
            ),
            Change(
                "the divisor is not made again from loaded weights",
                "for key in self.keys:\n"
                '            self.get(key, "divisor").copy_(_divisor(self.get(key, "scale")))',
                "pass",
            ),
            Change(
                "statistics that are not finite are taken",
                "if not bool(value.isfinite().all()):",
                "if False:",
            ),
        ],
    ),
]
