"""Faults in guidance and in the density of chunks."""

from __future__ import annotations

from .row import Change, Target

GUIDANCE = [
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
