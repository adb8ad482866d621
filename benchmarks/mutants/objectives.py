"""Faults in objectives, times, weights and couplings."""

from __future__ import annotations

from .row import Change, Target

TRAINER = "tests/policy/training/test_trainer.py"
NOISE = "tests/policy/training/test_noise_of_training.py"
OBJECTIVES = "tests/policy/training/test_objectives.py"
OBJECTIVES_ROWS = [
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
                "inside = noised.t > self.earliest",
                "inside = noised.t > 2 * self.earliest",
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
                "        return path.snr_fall(t).clamp(max=self.maximum)",
                "        with torch.enable_grad():\n"
                "            return path.snr_fall(t).clamp(max=self.maximum)",
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
]
