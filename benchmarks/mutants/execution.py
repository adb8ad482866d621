"""Faults in how chunks are executed and how their agreement is measured."""

from __future__ import annotations

from .row import Change, Target

EXECUTION = [
    Target(
        "policy/control/temporal_ensemble.py",
        "tests/policy/control/test_executions.py",
        [
            Change(
                "the newest chunk counts most",
                "exponents = -self.decay * np.arange(len(said))",
                "exponents = self.decay * np.arange(len(said))",
            ),
            Change(
                "chunks are read one age too late",
                "places = [at + n * age for age in reversed(range(len(chunks)))]",
                "places = [at + n * age + 1 for age in reversed(range(len(chunks)))]",
            ),
        ],
    ),
    Target(
        "policy/control/best_of_k.py",
        "tests/policy/control/test_executions.py",
        [
            Change(
                "the worst of K",
                "return int(cost.argmin())",
                "return int(cost.argmax())",
            ),
            Change(
                "all steps of the overlap weigh the same",
                "weights = self.decay ** np.arange(len(plan))",
                "weights = np.ones(len(plan))",
            ),
        ],
    ),
    Target(
        "policy/sampling/warm.py",
        "tests/policy/sampling/test_warm.py",
        [
            Change(
                "one evaluation too many is skipped",
                "if k >= skipped or everywhere:",
                "if k > skipped or everywhere:",
            ),
            Change(
                "an episode's first chunk starts warm from nothing",
                "return torch.where(unknown[:, None, None], estimate(k, x), known)",
                "return known.nan_to_num(0.0)",
            ),
        ],
    ),
    Target(
        "policy/control/plan_consistency.py",
        "tests/policy/control/test_plan_consistency.py",
        [
            Change("anything falls in two groups", "SHARE = 0.85", "SHARE = 0.1"),
            Change(
                "a switch is staying",
                "switched=belongs[0] != belongs[1]",
                "switched=belongs[0] == belongs[1]",
            ),
            Change(
                "episodes count alike, however long",
                'sum(each["replans"] * each[key] for each in summaries)',
                "sum(each[key] for each in summaries)",
            ),
        ],
    ),
    Target(
        "policy/control/receding_horizon.py",
        "tests/policy/control/test_executions.py",
        [
            Change(
                "plans are compared one step off",
                "return stream.chunks[-1][self.n_obs_steps - 1 + self.n_action_steps :]",
                "return stream.chunks[-1][self.n_obs_steps + self.n_action_steps :]",
            ),
            Change(
                "distances are in the data's units",
                "plans = candidates[:, self.n_obs_steps - 1 :] / self._scale",
                "plans = candidates[:, self.n_obs_steps - 1 :]",
            ),
            Change(
                "chunks that reach the step are forgotten",
                "n_reaching = 1 + (len(chunk) - 1 - first) // self.n_action_steps",
                "n_reaching = (len(chunk) - 1 - first) // self.n_action_steps",
            ),
        ],
    ),
]
