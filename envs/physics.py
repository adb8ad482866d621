"""Physics: the quantities of one MuJoCo simulation, by name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import EnvError, unknown_name

Array = NDArray[np.float64]

# Without a handler mujoco writes its warnings to MUJOCO_LOG.TXT in the working directory.
mujoco.set_mju_user_warning(logging.getLogger(__name__).warning)

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class Physics:
    """One compiled model and its data; tasks read and write the simulation through it.

    `model` and `data` are mujoco's own structures and may be used directly. Everything that
    changes during an episode lives in `data` (goals too: as a mocap body), so `state` and
    `set_state` save and restore an episode completely.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        # A diverged simulation must be reported, not silently put back to its start.
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET.value
        self.data = mujoco.MjData(model)
        self._views: dict[tuple[str, str], Any] = {}

    @classmethod
    def from_file(cls, path: Path | str) -> Physics:
        """Compile the MJCF file at `path`.

        Raises:
            EnvError: the compiler refuses it; its message is passed on.
        """
        try:
            return cls(mujoco.MjModel.from_xml_path(str(path)))
        except ValueError as error:
            message = " ".join(str(error).split())
            raise EnvError(f"cannot load the MJCF {Path(path).name}: {message}") from error

    def view(self, kind: str, name: str) -> Any:
        """Return mujoco's live named view, e.g. `view("site", "tool").xpos`; cached.

        kind is one of mujoco's accessors of MjData: body, geom, site, joint, actuator, camera...
        """
        view = self._views.get((kind, name))
        if view is None:
            try:
                view = getattr(self.data, kind)(name)
            except KeyError as error:
                count = getattr(self.model, f"n{_COUNTS.get(kind, kind)}")
                known = (getattr(self.model, kind)(i).name for i in range(count))
                raise unknown_name(kind, name, known) from error
            self._views[kind, name] = view
        return view

    def reset(self, keyframe: str | None = None) -> None:
        """Put the data back to the model's start, or to the named keyframe."""
        if keyframe is None:
            mujoco.mj_resetData(self.model, self.data)
        else:
            mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key(keyframe).id)

    def forward(self) -> None:
        """Recompute every derived quantity from positions, velocities and controls."""
        mujoco.mj_forward(self.model, self.data)

    def step(self, n_substeps: int = 1) -> None:
        """Advance by `n_substeps` of the model's time step.

        Afterwards poses are of the new time; contacts, forces and sensors are those of the last
        substep's beginning.

        Raises:
            EnvError: the simulation diverged.
        """
        mujoco.mj_step(self.model, self.data, n_substeps)
        self._update_poses()
        if not np.isfinite(self.data.qpos).all():
            raise EnvError("the simulation diverged; lower the time step or the actuator gains")

    @property
    def timestep(self) -> float:
        """Seconds of one substep."""
        return float(self.model.opt.timestep)

    def body_position(self, name: str) -> Array:
        """World position [3] in metres of a body's frame (a copy)."""
        return self._copy(self.view("body", name).xpos)

    def body_rotation(self, name: str) -> Array:
        """World rotation matrix [3, 3] of a body's frame (a copy)."""
        return self._copy(self.view("body", name).xmat).reshape(3, 3)

    def site_position(self, name: str) -> Array:
        """World position [3] in metres of a site (a copy)."""
        return self._copy(self.view("site", name).xpos)

    def site_rotation(self, name: str) -> Array:
        """World rotation matrix [3, 3] of a site (a copy)."""
        return self._copy(self.view("site", name).xmat).reshape(3, 3)

    def joint_position(self, name: str) -> Array:
        """Position of a joint (a copy): [1] hinge or slide, [4] ball, [7] free."""
        return self._copy(self.view("joint", name).qpos)

    def joint_velocity(self, name: str) -> Array:
        """Velocity of a joint (a copy): [1] hinge or slide, [3] ball, [6] free."""
        return self._copy(self.view("joint", name).qvel)

    def touching(self, geom: str, other: str) -> bool:
        """Whether two geoms are in contact, as of the last substep."""
        ids = {self.view("geom", geom).id, self.view("geom", other).id}
        return any(set(pair) == ids for pair in self.data.contact.geom.tolist())

    def set_joint_position(self, name: str, position: ArrayLike) -> None:
        """Set a joint's position and zero its velocity; call `forward` afterwards."""
        joint = self.view("joint", name)
        joint.qpos = position
        joint.qvel = 0.0

    def set_control(self, actuator: str, value: float) -> None:
        """Set one actuator's control."""
        self.view("actuator", actuator).ctrl = value

    def set_mocap_pose(self, body: str, position: ArrayLike, yaw: float = 0.0) -> None:
        """Place a mocap body (a goal marker, say) at position [3] metres and yaw radians."""
        index = int(self.model.body(body).mocapid[0])
        self.data.mocap_pos[index] = position
        self.data.mocap_quat[index] = yaw_quaternion(yaw)

    def state(self) -> Array:
        """Return the complete state of the simulation as one vector."""
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, state, _STATE)
        return state

    def set_state(self, state: Array) -> None:
        """Restore what `state` returned; what follows is bitwise the same."""
        mujoco.mj_setState(self.model, self.data, state, _STATE)
        self._update_poses()

    def _update_poses(self) -> None:
        """Bring poses in line with positions; mj_step leaves them one substep behind."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    @staticmethod
    def _copy(view: Any) -> Array:
        return np.array(view, dtype=np.float64)


_COUNTS = {"joint": "jnt", "actuator": "u", "camera": "cam", "sensor": "sensor"}


def yaw_quaternion(yaw: float) -> Array:
    """Return the quaternion (w, x, y, z) of a rotation by `yaw` radians about the z axis."""
    return np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])


def yaw_of(rotation: Array) -> float:
    """Return the yaw in (-pi, pi] of a rotation matrix [3, 3] about the z axis."""
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))
