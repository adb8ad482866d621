"""Faults in guidance and in the density of chunks."""

from __future__ import annotations

from .row import Change, Target

GUIDANCE = [
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
        "tests/policy/guidance/test_guidance.py tests/policy/guidance/test_constraints.py "
        "tests/policy/test_edges.py::test_a_clamp_does_not_undo_a_projection",
        [
            Change(
                "the clamp comes after the projection",
                "        if clamp is not None:\n"
                "            now.sample = clamp(now.sample)\n"
                "        for edit in exact:\n"
                "            now.sample = edit(now)\n",
                "        for edit in exact:\n"
                "            now.sample = edit(now)\n"
                "        if clamp is not None:\n"
                "            now.sample = clamp(now.sample)\n",
            ),
            Change(
                "guided estimates are not clamped",
                "if clamp is not None:",
                "if False:",
            ),
        ],
    ),
]
