"""A forbidden disc on Push-T: does a cost's gradient keep the pusher out, and what does it cost?

One policy is rolled out twice on the same seeds, with its own sampler and the same controller: as
it is, and with the gradient of `ForbiddenDisc` through the network at every evaluation. A step
counts as inside if the pusher's centre is in the disc when the policy observes it. Intervals are
95 %: of shares of steps by resampling episodes, of success by Wilson, of its loss exact and paired.

    python benchmarks/guidance.py runs/push_t --episodes 400
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, pin_threads, write_result

from kinoise.envs.intervals import compare_rates, mean_interval, wilson_interval
from kinoise.envs.rollouts import EpisodeResult, Recording
from kinoise.policy.checkpoints import find_checkpoint, read_config, read_meta
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command.composing import compose
from kinoise.scripts.evaluation import roll_out, summarise

BOUNDS = {"steps_outside": 0.99, "loss_of_success": 0.10}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="a run's folder, or one of its checkpoints")
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=700_000)
    parser.add_argument("--guidance", default="forbidden_disc", help="an option of the slot")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--name", default="guidance", help="of the results file")
    arguments = parser.parse_args(argv)
    pin_threads(1)
    result = measure(arguments)
    print(f"wrote {write_result(arguments.name, result)}")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Roll out both policies and compare them."""
    checkpoint = find_checkpoint(arguments.checkpoint)
    guidance = load_guidance(arguments.guidance)
    cost = guidance[0]["cost"]
    print(
        f"{machine()['cpu']}; {arguments.episodes} pairs; disc {cost['centre']}, {cost['radius']}"
    )
    runs = {
        label: roll_out(
            tasks.make_env(tasks.task_of(compose("eval", ["task=push_t", "checkpoint=x"]))),
            assembly.controller_factory(checkpoint, guidance=edits),
            label=label,
            n_episodes=arguments.episodes,
            first_seed=arguments.first_seed,
            n_envs=16,
            n_workers=arguments.workers,
            record=Recording(trajectories=True),
        )
        for label, edits in (("unguided", []), ("guided", guidance))
    }
    figures = {label: figures_of(episodes, cost) for label, episodes in runs.items()}
    for label, figure in figures.items():
        print_figures(label, figure)
    loss = compare_rates(*([e.success for e in runs[label]] for label in runs))
    rate = figures["unguided"]["success"]
    print(f"loss of success (unguided - guided)  {loss}")
    holds = {
        "steps_outside": 1 - figures["guided"]["steps_inside"] >= BOUNDS["steps_outside"],
        "loss_of_success": loss.difference.estimate < BOUNDS["loss_of_success"] * rate,
    }
    print(f"relative loss {loss.difference.estimate / rate:.3f}; bounds hold: {holds}")
    return {
        "task": "push_t",
        "policy": {"step": read_meta(checkpoint)["step"], **read_config(checkpoint)["policy"]},
        "guidance": guidance,
        "first_seed": arguments.first_seed,
        **figures,
        "loss_of_success": {
            "difference": loss.difference.estimate,
            "interval": [loss.difference.low, loss.difference.high],
            "relative": loss.difference.estimate / rate,
            "p_value": loss.p_value,
        },
        "bounds": BOUNDS,
        "holds": holds,
    }


def load_guidance(option: str) -> list[dict[str, Any]]:
    """Return the edits of an option of the guidance slot, the first a cost of a disc."""
    edits = assembly.guidance_of(
        compose("eval", ["checkpoint=x", f"guidance={option}", "limits=push_t"])
    )
    assert edits is not None
    return edits


def figures_of(episodes: Sequence[EpisodeResult], cost: dict[str, Any]) -> dict[str, Any]:
    """Return what the pusher did about the disc, and the task's outcome."""
    inside = [_inside(episode, cost) for episode in episodes]
    low, high = _share_interval(inside)
    entered = wilson_interval(sum(bool(i.any()) for i in inside), len(inside))
    started = sum(bool(i[0]) for i in inside)
    return {
        **summarise(episodes),
        "n_steps": sum(len(i) for i in inside),
        "steps_inside": float(np.concatenate(inside).mean()),
        "steps_inside_interval": [low, high],
        "episodes_entered": entered.estimate,
        "episodes_entered_interval": [entered.low, entered.high],
        "episodes_started_inside": started / len(inside),
        "steps_inside_an_episode": mean_interval([float(i.mean()) for i in inside]).estimate,
    }


def print_figures(label: str, figure: dict[str, Any]) -> None:
    """Print one policy's figures."""
    print(
        f"{label:10s}steps inside {100 * figure['steps_inside']:.2f} % [{{:.2f}}, {{:.2f}}]".format(
            *(100 * x for x in figure["steps_inside_interval"])
        )
        + f"  episodes that entered {100 * figure['episodes_entered']:.1f} %"
        + f"  success {figure['success']:.3f} [{{:.3f}}, {{:.3f}}]".format(
            *figure["success_interval"]
        )
        + f"  score {figure['score']:.3f} [{{:.3f}}, {{:.3f}}]".format(*figure["score_interval"])
    )


def _inside(episode: EpisodeResult, cost: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    assert episode.obs is not None
    distance = np.linalg.norm(episode.obs["agent_pos"] - np.array(cost["centre"]), axis=1)
    return np.asarray(distance < cost["radius"])


def _share_interval(inside: Sequence[Any]) -> tuple[float, float]:
    """Return the bootstrap interval of the share of all steps, resampling whole episodes."""
    hits, steps = np.array([[i.sum(), len(i)] for i in inside], float).T
    drawn = np.random.default_rng(0).integers(0, len(hits), (10_000, len(hits)))
    low, high = np.quantile(hits[drawn].sum(1) / steps[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
