"""Faults in the steps that lead back to the path, and in how they are found in data."""

from __future__ import annotations

from .row import Change, Target

RECOVERY = [
    Target(
        "policy/transforms/recovery.py",
        "tests/policy/transforms/test_recovery.py",
        [
            Change("the robot is not displaced", "+= offset[:, None]", "+= 0 * offset[:, None]"),
            Change(
                "the steps lead away",
                "wanted = step - ahead",
                "wanted = step + ahead",
            ),
            Change("steps are as long as it takes", "ahead = held - wanted", "held = wanted"),
            Change("what is left is forgotten", "ahead = held - wanted", "ahead = 0 * ahead"),
            Change(
                "the gain does not count",
                "offset.to(steps) / steps.new_tensor(self.gains)",
                "offset.to(steps)",
            ),
            Change(
                "a recorded step is cut",
                "torch.minimum(low, step), torch.maximum(high, step)",
                "low, high",
            ),
            Change("past steps change too", "now = before.shape[1] - 1", "now = 0"),
            Change("the scale is of the whole range", "(high - low) / 2", "(high - low)"),
            Change("it comes as late as it stands", "return True", "return False"),
        ],
    ),
    Target(
        "policy/diffusion_policy.py",
        "tests/policy/test_wiring.py",
        [
            Change(
                "validation has augmented windows",
                "        if self.training:\n            obs, action",
                "        if True:\n            obs, action",
            ),
            Change(
                "training has recorded windows",
                "        if self.training:\n            obs, action",
                "        if False:\n            obs, action",
            ),
        ],
    ),
    Target(
        "datasets/inspection/facts/steps.py",
        "tests/datasets/inspection/facts/test_steps.py",
        [
            Change("a turn is a long step", "if period:", "if False:"),
            Change("blocked steps count", "went = moved != 0", "went = moved == moved"),
            Change("a few steps are enough", "max(2, ENOUGH * len(step))", "2"),
            Change("whatever it carries is the robot", "-each.blocked", "each.blocked"),
            Change("absolute actions are steps", '!= "absolute"', '!= "none"'),
            Change("any length will do", ".mean() >= MET", ".mean() >= 0"),
        ],
    ),
    Target(
        "scripts/recipes/rules.py",
        "tests/scripts/recipes/test_rules.py",
        [
            Change(
                "the gain is left at one",
                'float(f"{step.gain:.3g}") for step in own',
                "1.0 for step in own",
            ),
            Change("angles stay", "in _by_key(angles).items()", "in {}.items()"),
            Change(
                "columns of the action are those of the observation",
                "[step.action for step in own]",
                "columns",
            ),
        ],
    ),
    Target(
        "datasets/errors.py",
        "tests/datasets/test_errors.py",
        [Change("control characters pass", "if c.isprintable() else repr(c)[1:-1]", "if c else c")],
    ),
    Target(
        "scripts/command/errors.py",
        "tests/scripts/command/test_cli.py::test_a_line_brings_no_control_characters_to_the_terminal",
        [Change("control characters pass", "if c.isprintable() else repr(c)[1:-1]", "if c else c")],
    ),
]
