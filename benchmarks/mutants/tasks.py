"""Faults in tasks and pictures."""

from __future__ import annotations

from .row import Change, Target

TASKS = [
    Target(
        "envs/tasks/push_t/geometry.py",
        "tests/envs/tasks/test_push_t_geometry.py",
        [
            Change(
                "the goal is half covered", "SUCCESS_COVERAGE = 0.95", "SUCCESS_COVERAGE = 0.90"
            ),
            Change(
                "the stem is a unit too short",
                "BLOCK_SCALE / 2, 4 * BLOCK_SCALE)",
                "BLOCK_SCALE / 2, 3.9 * BLOCK_SCALE)",
            ),
            Change(
                "points are turned the other way",
                "return np.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)",
                "return np.stack([cos * x - sin * y, cos * y + sin * x], axis=-1)",
            ),
            Change(
                "a score may exceed one",
                "return np.minimum(1.0, np.asarray(coverage, dtype=np.float64) / SUCCESS_COVERAGE)",
                "return np.asarray(coverage, dtype=np.float64) / SUCCESS_COVERAGE",
            ),
            Change(
                "the bar is always nearer",
                "return np.where(bar_is_nearer[..., None], on_bar, on_stem)",
                "return on_bar",
            ),
        ],
    ),
    Target(
        "envs/tasks/push_t/symmetry.py",
        "tests/envs/tasks/test_push_t_symmetry.py",
        [
            Change(
                "the mirror stands the other way",
                "reflection = np.array([[0.0, -1.0], [-1.0, 0.0]])",
                "reflection = np.array([[0.0, 1.0], [1.0, 0.0]])",
            ),
            Change(
                "keypoints are mirrored without being exchanged",
                "here * [-1.0, 1.0, 1.0]",
                "here * [1.0, 1.0, 1.0]",
            ),
        ],
    ),
    Target(
        "envs/tasks/push_t/task.py",
        "tests/envs/tasks/test_push_t.py",
        [
            Change(
                "the block's angle turns with y down",
                "-block_angle % (2 * np.pi)",
                "block_angle % (2 * np.pi)",
            ),
            Change(
                "a start may touch the block",
                "> geometry.PUSHER_RADIUS + START_CLEARANCE:",
                "> 0:",
            ),
            Change(
                "y points up",
                "geometry.WORLD_SIZE - y / METRES_PER_PIXEL",
                "y / METRES_PER_PIXEL",
            ),
            Change(
                "the block starts with the speed it had",
                "    physics.data.qvel[:] = 0.0\n",
                "",
            ),
        ],
    ),
    Target(
        "envs/tasks/push_t/tracking.py",
        "tests/envs/tasks/test_push_t_expert.py::test_the_tracker_brings_the_pusher_onto_every_"
        "planned_position tests/envs/tasks/test_push_t_expert.py::test_glides_respect_speed_and_"
        "acceleration_and_end_at_the_last_corner",
        [
            Change("the tracker's gain is 90", "_K_P = 100.0", "_K_P = 90.0"),
            Change(
                "glides exceed their speed",
                "top = min(speed, float(np.sqrt(length * acceleration)))",
                "top = float(np.sqrt(length * acceleration))",
            ),
        ],
    ),
    Target(
        "envs/tasks/pick_place/task.py",
        "tests/envs/tasks/test_pick_place.py",
        [
            Change(
                "a cube that was pushed is placed",
                "if at_goal and at_rest and lifted and not any(touching):",
                "if at_goal and at_rest and not any(touching):",
                tests="tests/envs/tasks/test_pick_place.py"
                "::test_success_needs_the_cube_lifted_at_the_goal_at_rest_and_released",
            ),
            Change(
                "a cube that is held is placed",
                "if at_goal and at_rest and lifted and not any(touching):",
                "if at_goal and at_rest and lifted:",
                tests="tests/envs/tasks/test_pick_place.py::test_a_cube_that_is_touched_is_not_placed",
            ),
            Change(
                "a moving cube is placed",
                "if at_goal and at_rest and lifted and not any(touching):",
                "if at_goal and lifted and not any(touching):",
                tests="tests/envs/tasks/test_pick_place.py"
                "::test_success_needs_the_cube_lifted_at_the_goal_at_rest_and_released",
            ),
            Change(
                "a lift needs no grasp",
                "if height > LIFT_HEIGHT and all(_touching(physics)):",
                "if height > LIFT_HEIGHT:",
                tests="tests/envs/tasks/test_pick_place.py::test_a_cube_that_flies_is_not_lifted",
            ),
            Change(
                "cube and goal may start together",
                "if np.linalg.norm(cube - goal) >= MIN_DISTANCE:",
                "if True:",
                tests="tests/envs/tasks/test_pick_place.py"
                "::test_cube_and_goal_start_apart_and_the_cube_at_rest",
            ),
            Change(
                "the cube's turn is seen without its symmetry",
                'cube_yaw = 4 * yaw_of(physics.body_rotation("cube"))',
                'cube_yaw = yaw_of(physics.body_rotation("cube"))',
                tests="tests/envs/tasks/test_pick_place.py"
                "::test_the_cubes_rotation_is_seen_up_to_its_symmetry",
            ),
            Change(
                "joints may jump",
                "step *= min(1.0, MAX_JOINT_STEP / (np.abs(step).max() + 1e-12))",
                "pass",
                tests="tests/envs/tasks/test_pick_place.py"
                "::test_no_joint_is_sent_further_in_a_step_than_it_may_turn",
            ),
        ],
    ),
    Target(
        "envs/inverse_kinematics.py",
        "tests/envs/tasks/test_pick_place.py::test_inverse_kinematics_keeps_joints_within_their_range",
        [
            Change(
                "joints leave their range",
                "            joints.clip(self._low, self._high, out=joints)\n",
                "",
            ),
        ],
    ),
    Target(
        "envs/rendering/raycast.py",
        "tests/envs/rendering/test_raycast.py "
        "tests/envs/rendering/test_rendering.py::test_shadows_darken_and_never_brighten",
        [
            Change(
                "shadows brighten",
                "lit *= self._lit(data, points, towards)",
                "lit *= 2.0 - self._lit(data, points, towards)",
            ),
            Change(
                "pixels are seen at their corners",
                "x = (np.arange(width) + 0.5 - width / 2)",
                "x = (np.arange(width) - width / 2)",
            ),
            Change(
                "the sky hangs upside down",
                "return np.asarray(faces[[3, 2]])",
                "return np.asarray(faces[[2, 3]])",
            ),
        ],
    ),
]
