"""Faults in paths, grids, tables and solvers."""

from __future__ import annotations

from .row import Change, Target

SOLVERS = "tests/policy/sampling/test_solvers.py"
NOISE = "tests/policy/sampling/test_noise_of_solvers.py"
SCHEDULERS = "tests/policy/sampling/test_schedulers.py"

SAMPLING = [
    Target(
        "policy/paths/path.py",
        "tests/policy/paths",
        [
            Change("SIGMA_DATA is one", "SIGMA_DATA = 0.5", "SIGMA_DATA = 1.0"),
            Change(
                "the fall of the SNR counts double",
                "return alpha * (alpha * self.sigma_rate(t)",
                "return 2 * alpha * (alpha * self.sigma_rate(t)",
            ),
            Change(
                "the data have the length of the path's start",
                "return torch.where(angle == 0, 1.0, torch.hypot(self.alpha(t), self.sigma(t)))",
                "return torch.hypot(self.alpha(t), self.sigma(t)) * 0.97",
            ),
        ],
    ),
    Target(
        "policy/paths/variance_exploding.py",
        "tests/policy/paths",
        [
            Change(
                "c_in with sigma_data = 1",
                "return (self.sigma(t) ** 2 + SIGMA_DATA**2).rsqrt()",
                "return (self.sigma(t) ** 2 + 1).rsqrt()",
            ),
            Change(
                "VE's noise does not vanish at the data",
                "return self.sigma_min * torch.expm1(2 * t * self._log_ratio).sqrt()",
                "return self.sigma_min * torch.exp(2 * t * self._log_ratio).sqrt()",
            ),
            Change("EDM's steps are of power six", "rho: float = 7.0", "rho: float = 6.0"),
            Change(
                "EDM trains from the data on",
                "return float((self.sigma_min / self.sigma_max) ** (1 / self.rho))",
                "return 1e-5",
            ),
        ],
    ),
    Target(
        "policy/paths/variance_preserving.py",
        "tests/policy/paths",
        [
            Change("beta reaches 19.9", "beta_max: float = 20.0", "beta_max: float = 19.9"),
            Change("the cosine's offset is lost", "offset: float = 0.008", "offset: float = 0.0"),
            Change(
                "sub-VP keeps VP's noise",
                "        return -torch.expm1(2 * self.log_alpha(t))\n",
                "        return super().sigma(t)\n",
            ),
        ],
    ),
    Target(
        "policy/paths/interpolant.py",
        "tests/policy/paths",
        [
            Change(
                "the latent noise counts once",
                "2 * self.latent**2 * t * (1 - t)).sqrt()",
                "self.latent**2 * t * (1 - t)).sqrt()",
            ),
            Change(
                "the base is there without being asked for",
                "return t if self.has_base else torch.zeros_like(t)",
                "return t",
            ),
        ],
    ),
    Target(
        "policy/paths/learned.py",
        "tests/policy/paths",
        [
            Change(
                "the variance's gradient counts once",
                "self._emphasis = 2 * losses.detach()",
                "self._emphasis = losses.detach()",
            ),
            Change(
                "a learned path ends a little early",
                "gamma_max: float = 10.0",
                "gamma_max: float = 9.9",
                tests="tests/policy/paths/test_values.py",
            ),
        ],
    ),
    Target(
        "policy/paths/previous.py",
        "tests/policy/paths/test_previous.py",
        [
            Change(
                "what is left of a chunk begins one action early",
                "rest = chunk[:, n_action_steps:]",
                "rest = chunk[:, n_action_steps - 1 :]",
            ),
            Change(
                "a chunk's end is not held",
                "held = rest[:, -1:].expand(",
                "held = rest[:, :1].expand(",
            ),
            Change(
                "the training's base reaches one action further",
                "reach = chunk.shape[1] - n_action_steps",
                "reach = chunk.shape[1] - n_action_steps + 1",
            ),
            Change("no training chunk starts from nothing", "COLD = 0.1", "COLD = 0.0"),
        ],
    ),
    Target(
        "policy/paths/shift.py",
        "tests/policy/paths tests/policy/training/test_times.py",
        [
            Change(
                "a shift moves the end of a path",
                "last + (inverse - last) / shift",
                "inverse / shift",
            ),
        ],
    ),
    Target(
        "policy/sampling/table.py",
        f"tests/policy/sampling/test_tables.py {NOISE}",
        [
            Change(
                "a rebased table with unscaled noise",
                "noise=self.noise * scale[:, None],",
                "noise=self.noise,",
                tests=NOISE,
            ),
            Change(
                "a rebased table with unscaled estimates",
                "estimate=self.estimate * scale[:, None],",
                "estimate=self.estimate,",
                tests="tests/policy/sampling/test_samplers.py",
            ),
            Change(
                "a rebased table keeps its times",
                "t=path.time_at(angles),",
                "t=self.t,",
                tests="tests/policy/sampling/test_samplers.py",
            ),
            Change(
                "a truncated table keeps one evaluation more",
                "self.estimate[: n + 1, :n],",
                "self.estimate[: n + 1, : n + 1],",
            ),
            Change(
                "fresh noise is the first noise again",
                "history[1 + n :] = noises[1:]",
                "history[1 + n :] = noises[:1]",
            ),
            Change(
                "tokens of a table that differ are taken for one",
                "if not self.per_token or not all(bool((p == p[..., :1]).all()) for p in parts):",
                "if not self.per_token:",
                tests="tests/policy/sampling/test_staggered.py",
            ),
        ],
    ),
    Target(
        "policy/sampling/staggered.py",
        "tests/policy/sampling/test_staggered.py",
        [
            Change(
                "tokens start half a row late",
                "starts = [int(delay * h) for h in range(horizon)]",
                "starts = [int(delay * h + 0.5) for h in range(horizon)]",
            ),
            Change(
                "the far future is clean first",
                "starts = [int(delay * h) for h in range(horizon)]",
                "starts = [int(delay * h) for h in range(horizon)][::-1]",
            ),
            Change(
                "a finished token is told to be at the noise",
                "table.t.new_tensor([path.earliest])",
                "table.t.new_tensor([1.0])",
            ),
            Change(
                "a staggered token forgets its own start in the estimates",
                "estimate[:, start : start + n, h] = table.estimate[place[:, h]]",
                "estimate[:, :n, h] = table.estimate[place[:, h]]",
            ),
        ],
    ),
    Target(
        "policy/sampling/sampler.py",
        "tests/policy/sampling/test_samplers.py tests/policy/test_diffusion_policy.py"
        "::test_a_grid_on_which_a_solver_magnifies_every_error_is_refused",
        [
            Change(
                "a foreign path begins beyond the trained noise",
                "times = times * (latest / times[0]).clamp(max=1)",
                "pass",
            ),
            Change(
                "a table of another path is not rebased",
                "table = table if along is path else table.rebased(along, path)",
                "pass",
            ),
            Change("any magnification of errors is stable", "UNSTABLE = 100.0", "UNSTABLE = 1e9"),
        ],
    ),
    Target(
        "policy/sampling/noise.py",
        "tests/policy/test_diffusion_policy.py::test_a_row_is_the_same_alone_and_in_a_batch",
        [
            Change(
                "every row draws from the first generator",
                "for one in sources\n    ]",
                "for one in [sources[0]] * batch\n    ]",
            ),
        ],
    ),
    Target(
        "policy/sampling/grids.py",
        "tests/policy/sampling/test_grids.py",
        [
            Change(
                "the grid's last step is at the data",
                "return 1 - torch.arange(n, dtype=torch.float64) / n",
                "return 1 - torch.arange(n, dtype=torch.float64) / max(1, n - 1)",
            ),
            Change(
                "Karras's ramp is linear in the noise",
                "return _times(path, ramp**self.rho)",
                "return _times(path, torch.linspace(high, low, n, dtype=torch.float64))",
            ),
            Change(
                "the grid of noise levels ends below the least",
                "return max(sigma_min, 2 * ends[0]), min(sigma_max, ends[1])",
                "return max(0.5 * sigma_min, 2 * ends[0]), min(sigma_max, ends[1])",
            ),
            Change(
                "the cosine sways the other way",
                "self.start * (1 - u - self.sway",
                "self.start * (1 - u + self.sway",
            ),
        ],
    ),
    Target(
        "policy/sampling/solvers/sde.py",
        NOISE,
        [
            Change(
                "Langevin noise x .97",
                "fresh * tape.noise()",
                "0.97 * fresh * tape.noise()",
            ),
            Change(
                "Langevin keeps the wrong part of its noise",
                "math.sqrt(1 - (1 - fraction) ** 2)",
                "math.sqrt(1 - fraction**2)",
            ),
            Change(
                "the corrector's noise x .97",
                "x = x + then.sigma * (2 * snr * tape.noise()",
                "x = x + then.sigma * (1.94 * snr * tape.noise()",
                tests=f"{SOLVERS}::test_predictor_and_corrector_are_those_of_song",
            ),
            Change(
                "the predictor adds noise x .97",
                "+ added * tape.noise()",
                "+ 0.97 * added * tape.noise()",
                tests=f"{SOLVERS}::test_predictor_and_corrector_are_those_of_song",
            ),
            Change(
                "the reverse SDE churns half as much",
                "churn = min(speeds[k] * dt, 1.0)",
                "churn = min(0.5 * speeds[k] * dt, 1.0)",
                tests=f"{SOLVERS}::test_euler_maruyama_is_the_reverse_sde_of_the_linear_vp_path",
            ),
            Change(
                "the reverse SDE's noise x .97",
                "math.sqrt(2 * churn) * tape.noise()",
                "0.97 * math.sqrt(2 * churn) * tape.noise()",
                tests=f"{SOLVERS}::test_euler_maruyama_is_the_reverse_sde_of_the_linear_vp_path",
            ),
        ],
    ),
    Target(
        "policy/sampling/solvers/exponential.py",
        NOISE,
        [
            Change(
                "the exponential SDE's noise x .97",
                "x = x + then.sigma * math.sqrt(1 - left ** (2 * eta**2)) * tape.noise()",
                "x = x + 0.97 * then.sigma * math.sqrt(1 - left ** (2 * eta**2)) * tape.noise()",
            ),
            Change(
                "the second order's weight is off by a little",
                "second = h - first / rate",
                "second = 1.02 * (h - first / rate)",
                tests=f"{SOLVERS}::test_one_method_under_two_names_is_one_table",
            ),
        ],
    ),
    Target(
        "policy/sampling/solvers/ode.py",
        NOISE,
        [
            Change(
                "Euler moves a hundredth too far",
                "x = x + (then.t - now.t) * slope",
                "x = x + 1.01 * (then.t - now.t) * slope",
            ),
        ],
    ),
    Target(
        "policy/sampling/solvers/jumps.py",
        NOISE,
        [
            Change(
                "consistency re-noises with the noise it had",
                "x = then.state(tape.estimate(x, now.t), tape.noise())",
                "sample = tape.estimate(x, now.t)\n"
                "        x = then.state(sample, now.noise(x, sample))",
                tests=f"{SOLVERS}::test_one_method_under_two_names_is_one_table",
            ),
            Change("TCD's noise x .97", "+ added * tape.noise()", "+ 0.97 * added * tape.noise()"),
        ],
    ),
    Target(
        "policy/sampling/solvers/levels.py",
        NOISE,
        [
            Change(
                "a chain starts with unit noise",
                "return float(path.sigma(times[0])) * tape.start()",
                "return tape.start()",
            ),
        ],
    ),
    Target(
        "policy/sampling/schedulers/probe.py",
        NOISE,
        [
            Change(
                "the start is not scaled to the path's noise",
                "rows[:, 0] *= self.coordinates.level(levels[0])[1]",
                "pass",
            ),
            Change(
                "the last row of an extrapolating solver is none of its estimates",
                "elif self.extrapolates:",
                "elif False:",
                tests="tests/policy/test_diffusion_policy.py"
                "::test_the_last_row_of_every_deterministic_solver_is_its_last_estimate",
            ),
        ],
    ),
]
