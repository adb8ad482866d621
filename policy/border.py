"""The border between the numbers of the data and of the robot, and those of the network.

Observations are transformed and then normalised; actions too, and back again. Everything outside
the network (limits, costs, prefixes, recorded chunks) speaks in the robot's own units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .encoders.encoder import Observations
from .errors import PolicyError
from .normalizer import Normalizer
from .transforms.chain import Chain
from .transforms.transform import ACTION, Actions

#: Brings an x_0 estimate `[B, H, _]` within the data's range, possibly in place.
Clamp = Callable[[Tensor], Tensor]


class Border:
    """Translates between the data's own numbers and the network's.

    It holds no numbers of its own: the policy owns chain and normaliser, and this object speaks
    for both.

    Args:
        obs_shapes: observation key -> shape of one value, as recorded.
        n_obs_steps: To.
        transforms: what stands before the normalisation.
        normalizer: of what the transforms leave.
        clip: bound on x_0 estimates, in ranges of the data; None for no bound.
    """

    def __init__(
        self,
        obs_shapes: Mapping[str, tuple[int, ...]],
        n_obs_steps: int,
        *,
        transforms: Chain,
        normalizer: Normalizer,
        clip: float | None,
    ) -> None:
        self.obs_shapes = obs_shapes
        self.n_obs_steps = n_obs_steps
        self.transforms = transforms
        self.normalizer = normalizer
        self.clip = clip
        self._own_clamp: Clamp | None = None

    @property
    def action_dim(self) -> int:
        """Numbers of one action as the network has it."""
        return self.transforms.shapes[ACTION][0]

    def features(
        self,
        obs: Observations,
        generator: torch.Generator | None = None,
        *,
        disturb: bool = False,
    ) -> Observations:
        """Return what the encoder reads of raw observations.

        Args:
            obs: raw observations.
            generator: of what disturbs them.
            disturb: whether to disturb them, as in training.

        Raises:
            PolicyError: an observation is missing, or has another shape than in training.
        """
        self._check(obs)
        raw = self._recorded_keys(obs)
        chain = self.transforms
        seen = chain.disturb(raw, generator) if disturb else chain.observe(raw)
        return {key: self.normalizer.normalize(key, value) for key, value in seen.items()}

    def watch(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Fit the transforms to a batch of training windows too.

        Args:
            batch: {"obs", "action"}, as recorded; images may be left out beside vectors.

        Returns:
            What the normaliser is to be fitted to: key -> values `[n, *shape]`, each of the shape
            that its statistics are to have.
        """
        seen, action = self.transforms.watch(batch["obs"], batch[ACTION])
        rows = {key: seen[key].flatten(0, 1) for key in self.normalizer.keys if key != ACTION}
        rows[ACTION] = action if self.transforms.differs_by_step else action.flatten(0, 1)
        return rows

    def augmented(
        self, batch: Mapping[str, Any], generator: torch.Generator | None
    ) -> tuple[Observations, Actions]:
        """Return recorded windows {"obs", "action"} as training is to have them instead."""
        obs = self._recorded_keys(batch["obs"])
        return self.transforms.augment(obs, batch[ACTION], generator)

    def at(self, obs: Observations) -> Crossing:
        """Return the translation of chunks that are planned for raw observations."""
        return Crossing(self, obs)

    def to_network(self, actions: Actions, obs: Observations) -> Actions:
        """Return chunks of the robot's actions as the network has them."""
        if self.transforms.changes_action:
            actions = self.transforms.write(actions, self._recorded_keys(obs))
        return self.normalizer.normalize(ACTION, actions)

    def to_actions(self, chunk: Actions, obs: Observations) -> Actions:
        """Return chunks as the network has them in the robot's own units."""
        actions = self.normalizer.unnormalize(ACTION, chunk)
        if self.transforms.changes_action:
            actions = self.transforms.read(actions, self._recorded_keys(obs))
        return actions

    def clamp(self, obs: Observations) -> Clamp | None:
        """Return what holds x_0 estimates to the range of the data, or None without a bound.

        That is the range that the network's numbers had in training. Where the robot's actions are
        others, they are held to theirs too: a relative action within its range may lead to one
        that nobody demonstrated. The chunk is then read, cut, and written again; of a sum of steps
        that cuts the sum, and a step is what is left of it.

        Args:
            obs: raw observations that the chunks are planned for.
        """
        if self.clip is None:
            return None
        if self._own_clamp is None:
            self._own_clamp = self._clamp_of_network(self.clip)
        if not self.transforms.changes_action:
            return self._own_clamp
        return self._clamp_of_robot(self.clip, self._own_clamp, self.at(obs))

    def forget(self) -> None:
        """Let the next clamp follow new statistics, or another device."""
        self._own_clamp = None

    def _clamp_of_network(self, clip: float) -> Clamp:
        """Return what holds estimates to the range of the network's numbers, in place."""
        low, high = self.normalizer.bounds(ACTION)
        if bool((low == -1).all()) and bool((high == 1).all()):
            return lambda sample: sample.clamp_(-clip, clip)

        middle = (low + high) / 2
        half = (high - low) / 2
        least = middle - clip * half
        most = middle + clip * half
        return lambda sample: sample.clamp_(least, most)

    def _clamp_of_robot(self, clip: float, inner: Clamp, crossing: Crossing) -> Clamp:
        """Return what holds estimates to `inner`, and then to the range of the robot's actions."""
        low, high = self.transforms.bounds(clip)

        def clamp(sample: Tensor) -> Tensor:
            inside = inner(sample)
            actions = crossing.to_actions(inside)
            held = actions.clamp(low, high)
            # What lies within stays bitwise as it is.
            same = (held == actions).flatten(1).all(1)[:, None, None]
            return torch.where(same, inside, crossing.to_network(held).to(inside))

        return clamp

    def in_spreads(self, actions: Actions) -> Actions:
        """Return the robot's actions in units of the recorded ones' spread, to compare errors."""
        if not self.transforms.changes_action:
            return self.normalizer.normalize(ACTION, actions)
        low, high = (bound.to(actions) for bound in self.transforms.recorded.bounds(ACTION))
        spread = self.spread.to(actions)
        return (actions - (low + high) / 2) / torch.where(spread == 0, torch.inf, spread)

    @property
    def spread(self) -> Float[Tensor, "Da"]:
        """The recorded actions' spread, in the robot's units; 0 where they never change."""
        if not self.transforms.changes_action:
            return self.normalizer.scale(ACTION)
        low, high = self.transforms.recorded.bounds(ACTION)
        return (high - low) / 2

    def log_volume(self, horizon: int) -> Float[Tensor, ""]:
        """Return the logarithm of the robot's units of a chunk that are one of the network's.

        No transform of actions changes volumes but the sine and cosine, whose chunks count as the
        pairs that they are. A constant dimension has no unit of its own and does not count.
        """
        scale = self.normalizer.scale(ACTION)
        steps = 1 if scale.ndim > 1 else horizon
        return steps * scale[scale > 0].log().sum()

    def _recorded_keys(self, obs: Observations) -> Observations:
        """Return the observations that the policy knows; a caller may have given others too."""
        return {key: obs[key] for key in self.obs_shapes}

    def _check(self, obs: Observations) -> None:
        """Raise PolicyError for an observation that is missing or has another shape."""
        missing = set(self.obs_shapes) - set(obs)
        if missing:
            raise PolicyError(
                f"the observation lacks {sorted(missing)}; it has {sorted(obs)}, "
                f"the policy was trained on {sorted(self.obs_shapes)}"
            )
        for key, shape in self.obs_shapes.items():
            if obs[key].shape[1:] != (self.n_obs_steps, *shape):
                raise PolicyError(
                    f"observation '{key}' has shape {list(obs[key].shape)}; the policy was trained "
                    f"on [batch, {self.n_obs_steps}, {', '.join(map(str, shape))}]"
                )


@dataclass(frozen=True)
class Crossing:
    """The border at some observations: chunks planned for them, there and back.

    Attributes:
        border: the border.
        obs: raw observations.
    """

    border: Border
    obs: Observations

    @property
    def mixes_columns(self) -> bool:
        """Whether a number of the network's chunk depends on several of the robot's."""
        return self.border.transforms.mixes_columns

    @property
    def clamp(self) -> Clamp | None:
        """What holds x_0 estimates to the range of the data, or None."""
        return self.border.clamp(self.obs)

    def to_network(self, actions: Actions) -> Actions:
        """Return chunks of the robot's actions as the network has them."""
        return self.border.to_network(actions, self.obs)

    def to_actions(self, chunk: Actions) -> Actions:
        """Return chunks as the network has them in the robot's own units."""
        return self.border.to_actions(chunk, self.obs)
