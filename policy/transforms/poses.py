"""Observations in the frame of a pose: of the robot's own now, or of the goal's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..encoders.encoder import Observations, Shapes
from ..errors import unknown_name
from .frames import FRAMES
from .transform import Transform, check_columns, flat

#: Which of the reference's poses counts: the present one, or that of each step of the history.
MOMENTS = ("now", "each")


@dataclass(frozen=True)
class RelativePose(Transform):
    """Shows poses and points of an observation as seen from a reference pose.

    A rigid motion of everything then changes nothing of what the network sees. The reference is
    read before anything is replaced, so a pose may stand among those that are relative to it: of
    the robot's own history, motion is left.

    Args:
        key: the observation that holds the poses.
        columns: of each pose or point, `[[x, y], [x, y, angle], ...]`.
        reference: the observation that holds the reference.
        reference_columns: of the reference.
        form: of the poses, a key of `FRAMES`; "position" subtracts and does not rotate.
        at: "now" for the reference's present pose, "each" for that of every step of the history.

    Raises:
        PolicyError: an unknown form or moment.
    """

    key: str
    columns: Sequence[Sequence[int]]
    reference: str
    reference_columns: Sequence[int]
    form: str = "position"
    at: str = "now"

    def __post_init__(self) -> None:
        if self.form not in FRAMES:
            raise unknown_name("form of poses", self.form, FRAMES)
        if self.at not in MOMENTS:
            raise unknown_name("moment of a reference", self.at, MOMENTS)

    def connect(self, shapes: Shapes) -> Shapes:
        size = check_columns(shapes, self.key, [each for group in self.columns for each in group])
        check_columns(shapes, self.reference, self.reference_columns)
        for group in self.columns:
            FRAMES[self.form].check(len(group), len(self.reference_columns), self.form)
        return {**shapes, self.key: (size,)}

    def observe(self, obs: Observations) -> Observations:
        reference = flat(obs, self.reference)[..., list(self.reference_columns)]
        if self.at == "now":
            reference = reference[:, -1:]
        before = flat(obs, self.key)
        after = before.clone()
        for group in self.columns:
            columns = list(group)
            seen = FRAMES[self.form].relative(before[..., columns], reference.to(before))
            after[..., columns] = seen
        return {**obs, self.key: after}
