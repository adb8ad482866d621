"""The receding-horizon controller: windows, chunks, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor

from kinoise.policy.control.receding_horizon import RecedingHorizonController
from kinoise.policy.errors import PolicyError


class Recorder:
    """Stands in for `policy.sample`: the chunk counts 0, 1, 2 ... and remembers its windows."""

    def __init__(self) -> None:
        self.windows: list[np.ndarray] = []
        self.noise: list[float] = []
        self.previous: list[Tensor | None] = []

    def __call__(
        self,
        obs: Mapping[str, Tensor],
        generator: Sequence[torch.Generator],
        *,
        previous: Tensor | None,
    ) -> Tensor:
        self.windows.append(obs["x"].numpy().copy())
        self.noise += [float(torch.randn(1, generator=one)) for one in generator]
        self.previous.append(previous)
        count = torch.arange(8, dtype=torch.float32)
        return count[None, :, None].repeat(len(generator), 1, 1)


def _broken(
    obs: Mapping[str, Tensor], generator: Sequence[torch.Generator], *, previous: Tensor | None
) -> Tensor:
    return torch.full((1, 4, 2), np.nan)


def _act(controller: RecedingHorizonController, values: list[float], step: int) -> list[float]:
    observations = [{"x": np.array([value], np.float32)} for value in values]
    seeds = list(range(len(values)))
    return controller(observations, seeds, [step] * len(values))[:, 0].tolist()


def test_it_executes_n_action_steps_of_a_chunk_then_replans() -> None:
    sample = Recorder()
    controller = RecedingHorizonController(sample, n_obs_steps=2, n_action_steps=3)
    actions = [_act(controller, [float(step)], step)[0] for step in range(7)]
    # Index To - 1 = 1 is the action of the present step.
    assert actions == [1, 2, 3, 1, 2, 3, 1]
    assert len(sample.windows) == 3
    assert len(controller.latencies) == 3


def test_the_window_holds_the_latest_observations_and_repeats_the_first() -> None:
    sample = Recorder()
    controller = RecedingHorizonController(sample, n_obs_steps=3, n_action_steps=2)
    for step in range(5):
        _act(controller, [10.0 + step], step)
    assert [window.reshape(-1).tolist() for window in sample.windows] == [
        [10, 10, 10],
        [10, 11, 12],
        [12, 13, 14],
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_each_episode_has_its_own_noise_whatever_the_batch(batch_size: int) -> None:
    sample = Recorder()
    controller = RecedingHorizonController(sample, 1, 8, batch_size=batch_size)
    _act(controller, [0.0] * 5, 0)
    mine = [sample.noise[i] for i in range(5)]
    expected = [float(torch.randn(1, generator=torch.Generator().manual_seed(s))) for s in range(5)]
    assert mine == expected


def test_step_zero_starts_an_episode_afresh() -> None:
    sample = Recorder()
    controller = RecedingHorizonController(sample, 2, 4)
    _act(controller, [1.0], 0)
    assert _act(controller, [2.0], 0) == [1.0]
    assert sample.windows[1].reshape(-1).tolist() == [2.0, 2.0]
    assert sample.noise[0] == sample.noise[1]


def test_episodes_that_ended_are_forgotten() -> None:
    controller = RecedingHorizonController(Recorder(), 1, 2)
    _act(controller, [0.0] * 6, 0)
    _act(controller, [0.0] * 2, 1)
    assert len(controller._streams) == 2


def test_actions_that_are_not_finite_stop_the_controller() -> None:
    controller = RecedingHorizonController(_broken, 1, 2)
    with pytest.raises(PolicyError, match="not finite"):
        _act(controller, [0.0], 0)


def test_it_hands_on_the_chunk_in_execution_and_nothing_where_an_episode_begins() -> None:
    sample = Recorder()
    controller = RecedingHorizonController(sample, n_obs_steps=1, n_action_steps=2, batch_size=2)
    observations = [{"x": np.zeros(1, np.float32)}] * 2
    for steps in ([0, 0], [1, 1], [2, 0]):  # the second episode begins anew
        controller(observations, [0, 1], steps)
    first, second = sample.previous
    assert first is None
    assert second is not None
    assert second[0].flatten().tolist() == list(range(8))
    assert second[1].isnan().all()


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_set_for_a_sample_and_no_longer(fails: bool) -> None:
    seen: list[int] = []

    def sample(
        obs: Mapping[str, Tensor], generator: Sequence[torch.Generator], *, previous: Tensor | None
    ) -> Tensor:
        seen.append(torch.get_num_threads())
        return torch.full((1, 4, 2), np.nan if fails else 0.0)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(PolicyError) if fails else nullcontext():
            _act(RecedingHorizonController(sample, 1, 2), [0.0], 0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1]
