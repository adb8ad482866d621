"""What the user gave, what the defaults are, and how choices are laid between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..command import catalogue
from ..command.composing import compose
from ..command.settings import plain, settings_of
from .rules import SCHEDULE, SHAPE

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERB = "train"
SLOTS = ("network",)
#: The slot that fills a setting in, where it goes by another name.
FILLED_BY = {"policy.transforms": "transform"}
KEYS = tuple(rule.setting for rule in (*SHAPE, *SCHEDULE))


@dataclass(frozen=True)
class Baseline:
    """A training's configuration as the user's words make it, before any rule.

    Attributes:
        words: the user's overrides, in Hydra's grammar.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Baseline:
        return cls(tuple(words))

    @cached_property
    def config(self) -> DictConfig:
        """The configuration that the words compose."""
        return compose(VERB, self.words)

    @cached_property
    def settled(self) -> dict[str, Any]:
        """Every setting that a rule may choose, as the words leave it.

        A horizon that was given stands there as `given.horizon` too: rules that come before the
        one of the horizon must fit it.
        """
        held = {key: _value(self.config, key) for key in KEYS}
        if "policy.horizon" in self.given:
            held["given.horizon"] = held["policy.horizon"]
        return held

    @cached_property
    def given(self) -> frozenset[str]:
        """The settings that are named in the words, or that a file they choose has changed."""
        default = compose(VERB, [])
        return frozenset(
            key for key in KEYS if self.names(key) or _node(self.config, key) != _node(default, key)
        )

    def names(self, setting: str) -> bool:
        """Say whether the words name a setting, what holds it or a part of it."""
        for word in self.words:
            key = word.partition("=")[0].lstrip("+~").partition("@")[0]
            if (
                key in (setting, FILLED_BY.get(setting))
                or setting.startswith(f"{key}.")
                or key.startswith(f"{setting}.")
            ):
                return True
        return False

    def applied(self, settings: Any, choices: Mapping[str, Any]) -> Any:
        """Return a training's settings with choices laid over the defaults, under the words."""
        from omegaconf import OmegaConf

        if not choices:
            return settings
        slots = [f"{key}={choices[key]}" for key in SLOTS if key in choices]
        config = compose(VERB, [*slots, *self.words])
        for key, value in choices.items():
            if key not in SLOTS:
                OmegaConf.update(config, key, value, merge=True, force_add=True)
        made = settings_of(VERB, config)
        data = [key.partition(".")[2] for key in choices if key.startswith("data.")]
        return replace(
            settings,
            policy=made.policy,
            trainer=made.trainer,
            data=replace(settings.data, **{name: getattr(made.data, name) for name in data}),
        )


def _value(config: DictConfig, key: str) -> Any:
    """Return a setting's value, for a slot the name of what stands in it."""
    from omegaconf import OmegaConf

    if key in SLOTS:
        return _option(key, config.policy[key]["_target_"])
    return plain(OmegaConf.select(config, key))


def _node(config: DictConfig, key: str) -> Any:
    """Return all of a setting's value, for a slot its whole node."""
    from omegaconf import OmegaConf

    return plain(OmegaConf.select(config, f"policy.{key}" if key in SLOTS else key))


def _option(slot: str, target: str) -> str:
    """Return the packaged option of a slot that builds a class, or the class's own name."""
    import yaml

    for name in catalogue.groups().get(slot, []):
        path = catalogue.config_folder() / slot / f"{name}.yaml"
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        if node.get("_target_") == target:
            return name
    return target.rpartition(".")[2]
