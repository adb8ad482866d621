"""Faults in the trainer and in what it keeps."""

from __future__ import annotations

from .row import Change, Target

TRAINER = "tests/policy/training/test_trainer.py"
SAFETY = "tests/policy/training/test_safety.py"
RESUMED = f"{TRAINER}::test_a_resumed_training_is_bitwise_the_uninterrupted_one[residual_mlp-40]"
STEPS = "tests/policy/training/test_steps.py"
TRAINING = [
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
