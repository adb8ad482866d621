"""PushT: a round pusher brings a T-shaped block onto its goal."""

from ...spec import EntryPoint, TaskSpec

SPEC = TaskSpec(
    env_id="kinoise/PushT-v0",
    make_env=EntryPoint(f"{__name__}.task", "make_env"),
    control_rate_hz=10.0,
    action_meaning="absolute",
    action_units="pixel",
    expert=EntryPoint(f"{__name__}.expert", "PushTExpert"),
    symmetry=EntryPoint(f"{__name__}.symmetry", "mirror"),
)
