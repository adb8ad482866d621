"""PickPlace: a 7-DoF arm carries a cube to a goal on the table."""

from ...spec import EntryPoint, TaskSpec

SPEC = TaskSpec(
    env_id="kinoise/PickPlace-v0",
    make_env=EntryPoint(f"{__name__}.task", "make_env"),
    control_rate_hz=10.0,
    action_meaning="absolute",
    action_units="m, m, m, rad, m",
    expert=EntryPoint(f"{__name__}.expert", "PickPlaceExpert"),
    # Small on purpose: a chunk of actions cannot foresee a push, so that strong ones are noise to
    # a learner.
    push_scale=(0.0075, 0.0075, 0.0075, 0.04, 0.0025),
)
