"""Faults in training: objectives, times, weights, couplings, the trainer and what it keeps."""

from __future__ import annotations

from .row import Change, Target

TRAINER = "tests/policy/training/test_trainer.py"
SAFETY = "tests/policy/training/test_safety.py"
RESUMED = f"{TRAINER}::test_a_resumed_training_is_bitwise_the_uninterrupted_one[residual_mlp-40]"
STEPS = "tests/policy/training/test_steps.py"
NOISE = "tests/policy/training/test_noise_of_training.py"
OBJECTIVES = "tests/policy/training/test_objectives.py"

TRAINING = [
    Target(
        "policy/training/objectives/objective.py",
        NOISE,
        [
            Change(
                "the same noise at every training step",
                "noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype)",
                "noise = torch.randn(sample.shape, generator=torch.Generator().manual_seed(0), "
                "dtype=sample.dtype)",
            ),
            Change(
                "the same noise for every row",
                "noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype)",
                "noise = torch.randn(sample[:1].shape, generator=generator, "
                "dtype=sample.dtype).expand(sample.shape)",
            ),
            Change(
                "a coupling's noise is not taken",
                "sample, noise = batch.pair(sample, noise)",
                "batch.pair(sample, noise)",
            ),
            Change(
                "padding counts in the mean",
                "real = mask.to(error.dtype)",
                "real = torch.ones_like(mask, dtype=error.dtype)",
            ),
            Change(
                "the masked mean divides by every token",
                "real.sum().clamp(min=1)",
                "real.numel()",
            ),
            Change(
                "the known base is left out of the state",
                "return level.noised(self.sample, self.noise) + self.shift",
                "return level.noised(self.sample, self.noise)",
                tests=f"{OBJECTIVES}::test_a_known_base_moves_the_state_and_not_the_target",
            ),
        ],
    ),
    Target(
        "policy/training/objectives/denoising.py",
        NOISE,
        [
            Change(
                "the loss's weight counts in the target's units",
                "per_target = (level.sigma / level.det) ** 2",
                "per_target = torch.ones_like(t)",
            ),
            Change(
                "a learned weight is not penalised",
                "* per_target + self.weight.penalty(path, t)",
                "* per_target",
            ),
            Change(
                "times may come before the path's earliest",
                "noised = noised.at(noised.t.clamp(min=path.earliest))",
                "pass",
                tests=f"{OBJECTIVES}::test_the_loss_is_finite_even_where_the_path_has_no_noise",
            ),
            Change(
                "the network is told another time than its input has",
                "prediction = denoiser.predict(x, noised.t, batch.condition)",
                "prediction = denoiser.predict(x, 0.9 * noised.t, batch.condition)",
                tests=NOISE,
            ),
            Change(
                "padding counts in the loss",
                "return masked_mean(error, batch.mask)",
                "return masked_mean(error, None)",
            ),
        ],
    ),
    Target(
        "policy/training/objectives/variational_bound.py",
        NOISE,
        [
            Change(
                "the bound ignores the mask",
                "return masked_mean(error + ends, batch.mask)",
                "return masked_mean(error + ends, None)",
            ),
            Change(
                "the bound ignores the prior",
                "return prior + reconstruction",
                "return reconstruction",
            ),
            Change(
                "the prior of the bound is doubled",
                "prior = 0.5 * (path.alpha(last)",
                "prior = (path.alpha(last)",
            ),
            Change(
                "the bound ignores the reconstruction",
                "return prior + reconstruction",
                "return prior",
            ),
            Change(
                "the bound is in nats",
                "return masked_mean(error + ends, batch.mask) / math.log(2)",
                "return masked_mean(error + ends, batch.mask)",
            ),
            Change(
                "the interval of times is not counted",
                "rate = path.snr_fall(t) * (1 - self.earliest)",
                "rate = path.snr_fall(t) * (1 + self.earliest)",
            ),
            Change(
                "gamma learns from the mean of the bound",
                "            path.reduce_variance(error.mean((1, 2), keepdim=True))",
                "            pass",
                tests=f"{OBJECTIVES}::test_gamma_learns_to_reduce_the_variance_of_the_bound_and_not_its_mean",
            ),
        ],
    ),
    Target(
        "policy/training/objectives/score_matching.py",
        f"{OBJECTIVES}::test_sliced_and_denoising_score_matching_agree_on_where_the_minimum_is "
        f"{OBJECTIVES}::test_sliced_score_matching_refuses_to_leave_padding_out",
        [
            Change(
                "the slope of the score counts half",
                "value = (slices * slope).sum((1, 2)) + 0.5 * projected**2",
                "value = 0.5 * (slices * slope).sum((1, 2)) + 0.5 * projected**2",
            ),
            Change(
                "padding is not refused",
                "if batch.mask is not None and not bool(batch.mask.all()):",
                "if False:",
            ),
        ],
    ),
    Target(
        "policy/training/times.py",
        f"tests/policy/training/test_times.py {NOISE}",
        [
            Change("times may round to one", "BELOW_ONE = 1 - 2.0**-24", "BELOW_ONE = 1.0"),
            Change(
                "times are not stratified",
                "strata = torch.randperm(batch, generator=generator)",
                "strata = torch.randint(batch, (batch,), generator=generator)",
            ),
            Change(
                "strata stand in the order of the batch",
                "strata = torch.randperm(batch, generator=generator)",
                "strata = torch.arange(batch)",
            ),
            Change(
                "times draw from torch's own generator",
                "u = (strata + torch.rand(batch, generator=generator)) / batch",
                "u = (strata + torch.rand(batch)) / batch",
            ),
            Change(
                "the log-normal is in log10",
                "torch.atan(torch.exp(self.mean + self.std * _normal_quantile(u)))",
                "torch.atan(10 ** (self.mean + self.std * _normal_quantile(u)))",
            ),
            Change(
                "Beta's exponent is its inverse",
                "return u ** (1 / self.a)",
                "return u**self.a",
            ),
            Change(
                "the mode distribution has the other sign",
                "t = 1 - v - self.scale * (",
                "t = 1 - v + self.scale * (",
            ),
            Change(
                "tokens share their chunk's time",
                "sample(batch * horizon, 1, path, generator).reshape(batch, horizon)",
                "sample(batch, 1, path, generator)[:, None].repeat(1, horizon)",
            ),
        ],
    ),
    Target(
        "policy/training/weights.py",
        f"tests/policy/training/test_weights.py {NOISE}",
        [
            Change(
                "sigmoid's bias has the other sign",
                "share = torch.sigmoid(self.bias - 2 * path.log_snr(t))",
                "share = torch.sigmoid(-self.bias - 2 * path.log_snr(t))",
            ),
            Change(
                "sigmoid counts lambda once",
                "share = torch.sigmoid(self.bias - 2 * path.log_snr(t))",
                "share = torch.sigmoid(self.bias - path.log_snr(t))",
            ),
            Change(
                "the SNR weight is its root",
                "return torch.exp(2 * path.log_snr(t)).clamp(max=self.maximum)",
                "return torch.exp(path.log_snr(t)).clamp(max=self.maximum)",
            ),
            Change(
                "EDM's weight takes sigma_data for one",
                "1 / SIGMA_DATA**2",
                "1.0",
            ),
            Change(
                "several targets count alike",
                "total = total + factor * (level.det / level.sigma) ** 2",
                "total = total + (level.det / level.sigma) ** 2",
            ),
            Change(
                "a learned weight does not divide by the variance",
                "return base * torch.exp(-self.log_variance(path, t))",
                "return base * torch.exp(self.log_variance(path, t))",
            ),
            Change(
                "a weight moves a learned path",
                "    @torch.no_grad()\n"
                "    def weight(self, path: Path, t: Tensor) -> Tensor:\n"
                "        return path.snr_fall(t)",
                "    def weight(self, path: Path, t: Tensor) -> Tensor:\n"
                "        return path.snr_fall(t)",
            ),
        ],
    ),
    Target(
        "policy/training/couplings.py",
        "tests/policy/training/test_couplings.py",
        [
            Change(
                "Sinkhorn by argmax",
                "torch.multinomial(plan, 1).squeeze(1)",
                "plan.argmax(1)",
            ),
            Change(
                "Sinkhorn draws from the columns",
                "torch.multinomial(plan, 1)",
                "torch.multinomial(plan.T, 1)",
            ),
            Change(
                "observations do not count by themselves",
                "if weight == 0 or not vectors:",
                "if True:",
            ),
            Change(
                "observations are not standardised",
                "seen = (seen - seen.mean(0)) / seen.std(0, correction=0).clamp(min=1e-6)",
                "pass",
            ),
            Change(
                "as many cheaper noises are left as are not asked for",
                "kept = max(1, round(candidates * len(limits)))",
                "kept = max(1, round((1 - candidates) * len(limits)))",
            ),
            Change(
                "a teacher that draws noise is taken",
                "if policy.table.n_noises:",
                "if False:",
            ),
        ],
    ),
    Target(
        "policy/training/trainer.py",
        STEPS,
        [
            Change("EMA without warm-up", "use_ema_warmup=True", "use_ema_warmup=False"),
            Change("EMA's decay is halved", "decay=ema_decay,", "decay=ema_decay / 2,"),
            Change("EMA warms up by another power", "power=0.75,", "power=0.66,"),
            Change(
                "EMA counts its steps from zero after a resume",
                "        self.ema.optimization_step = self.step\n",
                "",
                tests=RESUMED,
            ),
            Change(
                "resuming takes the average for the weights",
                "            parameter.data.copy_(raw[name])\n",
                "",
                tests=RESUMED,
            ),
            Change(
                "the best merit is forgotten by a resume",
                'self.best = float(metrics.get("best", -math.inf))',
                "pass",
                tests=STEPS,
            ),
            Change(
                "the raw weights are stored",
                "        self.ema.copy_to(self.parameters.values())\n",
                "",
            ),
            Change(
                "training goes on with the average",
                "                    parameter.copy_(raw)\n",
                "                    pass\n",
                tests=STEPS,
            ),
            Change(
                "every step has the same seed",
                "torch.manual_seed(self.seed * 1_000_003 + number)",
                "torch.manual_seed(self.seed)",
            ),
            Change(
                "a run's seed does not count",
                "torch.manual_seed(self.seed * 1_000_003 + number)",
                "torch.manual_seed(number)",
            ),
            Change(
                "steps are not seeded",
                "            torch.manual_seed(self.seed * 1_000_003 + number)\n",
                "",
                tests=RESUMED,
            ),
            Change(
                "micro-batches add up instead of being averaged",
                "(loss / self.accumulation).backward()",
                "loss.backward()",
            ),
            Change(
                "micro-batches are the same batch",
                "number = self.step * self.accumulation + micro",
                "number = self.step * self.accumulation",
            ),
            Change(
                "the gradient's norm is not clipped",
                "torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.clip_norm)",
                "torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1e9)",
            ),
            Change(
                "gradients are not forgotten",
                "        self.optimizer.zero_grad(set_to_none=True)\n",
                "",
            ),
            Change(
                "the warm-up begins at zero",
                "return self.learning_rate * (self.step + 1) / self.warmup_steps",
                "return self.learning_rate * self.step / self.warmup_steps",
            ),
            Change(
                "the rate falls to half",
                "return self.learning_rate * 0.5 * (1 + math.cos",
                "return self.learning_rate * 0.5 * (2 + math.cos",
            ),
            Change(
                "the best is the latest",
                "better = merit >= self.best",
                "better = True",
                tests=f"{TRAINER}::test_the_best_checkpoint_by_success_is_kept_beside_the_last",
            ),
            Change(
                "the best is the worst",
                "merit = MERITS[by] * metrics[by]",
                "merit = -MERITS[by] * metrics[by]",
                tests=f"{TRAINER}::test_the_best_checkpoint_by_success_is_kept_beside_the_last",
            ),
            Change(
                "a small action error is worse",
                '"action_error": -1,',
                '"action_error": 1,',
                tests=f"{SAFETY}::test_held_out_episodes_are_scored_and_choose_the_best_where_nothing_else_does",
            ),
            Change(
                "the best checkpoint is pruned",
                'for name in ("best", "last")}',
                'for name in ("last",)}',
                tests=f"{TRAINER}::test_the_best_checkpoint_by_success_is_kept_beside_the_last",
            ),
            Change(
                "a gradient that is no number is applied",
                "if bool(norm.isfinite()):",
                "if True:",
                tests=f"{SAFETY}::test_one_batch_that_is_no_number_costs_one_step",
            ),
            Change(
                "a training that is lost goes on",
                "if self.skipped >= HOPELESS:",
                "if False:",
                tests=f"{SAFETY}::test_a_training_that_is_lost_says_so_and_keeps_its_last_good_checkpoint",
            ),
            Change(
                "weights that are no numbers are stored",
                "        if spoilt:",
                "        if False:",
                tests=f"{SAFETY}::test_weights_that_are_no_numbers_never_become_the_last_checkpoint",
            ),
            Change(
                "a run is not locked",
                "            run_lock(self.folder),\n",
                "",
                tests=f"{SAFETY}::test_two_trainings_never_write_to_one_run",
            ),
            Change(
                "other settings are resumed in silence",
                "if changed and not allow_changes:",
                "if False:",
                tests=f"{SAFETY}::test_resuming_with_other_settings_says_what_differs",
            ),
            Change(
                "checkpoints are stored in training mode",
                "        self.policy.eval()\n",
                "",
                tests=STEPS,
            ),
        ],
    ),
    Target(
        "policy/training/lock.py",
        f"{SAFETY}::test_two_trainings_never_write_to_one_run",
        [
            Change(
                "the lock may be shared",
                "fcntl.LOCK_EX | fcntl.LOCK_NB",
                "fcntl.LOCK_SH | fcntl.LOCK_NB",
            ),
        ],
    ),
    Target(
        "policy/training/interrupt.py",
        f"{SAFETY}::test_every_signal_to_stop_leaves_a_checkpoint_to_resume_from "
        f"{SAFETY}::test_an_interrupt_ends_the_scoring_at_once_and_keeps_the_checkpoint",
        [
            Change(
                "a hang-up ends the process",
                '("SIGINT", "SIGTERM", "SIGHUP")',
                '("SIGINT", "SIGTERM")',
            ),
            Change(
                "an interrupt does not end the scoring",
                "if self.abandonable or self._count > PATIENCE:",
                "if self._count > PATIENCE:",
            ),
        ],
    ),
    Target(
        "policy/training/resuming.py",
        f"{RESUMED} {SAFETY}::test_resuming_with_other_settings_says_what_differs",
        [
            Change(
                "the second moments are not resumed",
                'MOMENTS = ("exp_avg", "exp_avg_sq", "step")',
                'MOMENTS = ("exp_avg", "step")',
            ),
            Change(
                "Adam's step is not resumed",
                'MOMENTS = ("exp_avg", "exp_avg_sq", "step")',
                'MOMENTS = ("exp_avg", "exp_avg_sq")',
            ),
            Change(
                "the learning rate may change in silence",
                '    "trainer.n_steps",\n',
                '    "trainer.n_steps",\n    "trainer.learning_rate",\n',
            ),
        ],
    ),
    Target(
        "policy/training/log.py",
        f"{TRAINER}::test_the_log_survives_a_torn_last_line_and_drops_what_a_resume_repeats",
        [
            Change(
                "a resumed log repeats its steps",
                'if record["step"] <= resume_at]',
                "if True]",
            ),
            Change(
                "a torn line breaks the log",
                "            break",
                "            raise",
            ),
        ],
    ),
    Target(
        "policy/training/validation.py",
        "tests/policy/training/test_validation.py",
        [
            Change(
                "padded actions count in the error",
                'if batch.get("mask") is not None:',
                "if False:",
            ),
            Change(
                "the error begins one action late",
                "first = policy.n_obs_steps - 1",
                "first = policy.n_obs_steps",
            ),
            Change(
                "the action error is squared",
                "(square / max(1.0, numbers)) ** 0.5,",
                "(square / max(1.0, numbers)),",
            ),
            Change(
                "the validation loss is that of the last batch",
                "loss += policy.compute_loss(batch, generator).item() * size",
                "loss = policy.compute_loss(batch, generator).item() * size",
            ),
            Change(
                "validation spends the training's random numbers",
                'with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):',
                "if True:",
            ),
        ],
    ),
]
