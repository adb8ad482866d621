"""The causes that evidence can speak for: what each means, what to try, and the command for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..command.composing import quote
from .finding import Clue, Finding, strengths

if TYPE_CHECKING:
    from .case import Case


@dataclass(frozen=True)
class Cause:
    """What a user reads of a cause.

    Attributes:
        title: the cause in a few words.
        advice: what to try.
        command: words behind `kinoise`; {data}, {run}, {task} and the numbers of `_facts` are
            filled in.
    """

    title: str
    advice: str
    command: str


TRAIN = "train task={task} data.path={data} run={run}_again"

CAUSES = {
    "action_convention": Cause(
        "actions mean something else in the environment",
        "convert the actions to what the environment executes, and say what they mean",
        "import --explain {data}",
    ),
    "simulator": Cause(
        "the environment is not the one of the demonstrations",
        "install the simulator's version that recorded the data, or record demonstrations here",
        "inspect {data}",
    ),
    "initial_states": Cause(
        "the environment does not start as the demonstrations do",
        "use the environment and its arguments that the demonstrations were recorded with",
        "inspect {data}",
    ),
    "success_rule": Cause(
        "the demonstrations do not count as successes",
        "say what success is: from `info`, or an end that is no time-out",
        "eval {run} task.success=terminated",
    ),
    "delay": Cause(
        "observations and actions are shifted in time",
        "pair each action with the observation it was taken on: shift one of them in the data",
        "inspect {data}",
    ),
    "observation_order": Cause(
        "the environment's observation has its entries in another order",
        "bring the observation into the order of the data, or name the keys alike",
        "inspect {data}",
    ),
    "pairing": Cause(
        "observations and actions do not belong together",
        "import the data again: the episodes of one of the two are shuffled or shifted",
        "inspect {data}",
    ),
    "episode_ends": Cause(
        "episodes are joined in the wrong places",
        "import the data again with the right ends of episodes",
        "inspect {data}",
    ),
    "constant_dimension": Cause(
        "an observation that hardly varies in the data varies in the environment",
        "leave the observation out, or normalise its key by 'identity'",
        TRAIN + " +policy.normalization.{key}=identity",
    ),
    "outside_range": Cause(
        "rollouts observe what the demonstrations never show",
        "record demonstrations there, or leave the observation out",
        "inspect {data}",
    ),
    "outliers": Cause(
        "outliers fill the range of the normalisation",
        "remove the outliers, or normalise by the standard deviation",
        TRAIN + " +policy.normalization.{key}=standard",
    ),
    "normalisation": Cause(
        "the checkpoint's normalisation does not fit its data",
        "train again on this data set; if the path is another data set's, give data=PATH",
        TRAIN,
    ),
    "history": Cause(
        "one observation does not tell what to do",
        "let the policy see more of the past, or observe what is hidden (velocities)",
        TRAIN + " policy.n_obs_steps={longer_history}",
    ),
    "mode_switching": Cause(
        "successive plans choose different ways",
        "execute more of each chunk, or choose plans that agree with the last one",
        "eval {run} n_action_steps={more_action_steps}",
    ),
    "replanning": Cause(
        "another number of executed steps does better",
        "execute another number of steps of each chunk",
        "eval {run} n_action_steps={best_action_steps}",
    ),
    "sampler_steps": Cause(
        "another number of sampler steps does better",
        "sample with another number of steps",
        "eval {run} n_steps=[{best_sampler_steps}]",
    ),
    "too_little_data": Cause(
        "too few demonstrations",
        "record more demonstrations, from starts that are not covered",
        "collect task={task} out={data} n_episodes={more_episodes} resume=true",
    ),
    "overfitted": Cause(
        "the policy has learnt its demonstrations by heart",
        "train for fewer steps or with a smaller network, and let held-out episodes choose",
        TRAIN + " trainer.n_steps={half_steps} data.validation_fraction=0.1 "
        "trainer.best_by=action_error trainer.evaluate_every={tenth_steps}",
    ),
    "undertrained": Cause(
        "the policy has not learnt its demonstrations yet",
        "train for more steps, or with a larger network",
        TRAIN + " trainer.n_steps={more_steps}",
    ),
    "diverged": Cause(
        "the training diverged",
        "lower the learning rate",
        TRAIN + " trainer.learning_rate={lower_rate}",
    ),
    "saturation": Cause(
        "actions are cut off at their limits",
        "rescale the actions to the environment's limits, or widen these",
        "inspect {data}",
    ),
    "idle": Cause(
        "the policy stands still where demonstrators paused",
        "cut pauses out of the demonstrations, or plan beyond them",
        TRAIN + " policy.horizon={longer_horizon}",
    ),
    "stuck": Cause(
        "rollouts come to rest before they are done",
        "record demonstrations that recover from where the rollouts stop",
        "familiarity {run}",
    ),
    "drift": Cause(
        "rollouts drift away from the demonstrations",
        "record recoveries, or use observations relative to the goal",
        "familiarity {run}",
    ),
    "brittle": Cause(
        "small noise on the observations spoils the policy",
        "train on noisy observations, and look for observations in needless precision",
        "inspect {data}",
    ),
}


def findings(case: Case, clues: Sequence[Clue], success: float | None) -> list[Finding]:
    """Return what the clues support, the strongest first."""
    facts = _facts(case)
    found = []
    for name, strength, evidence in strengths(clues, success):
        cause = CAUSES[name]
        command = "kinoise " + cause.command.format_map(facts)
        found.append(Finding(name, strength, evidence, cause.advice, command))
    return found


def _facts(case: Case) -> dict[str, object]:
    """Return what the commands are filled with."""
    policy = case.policy
    trainer = case.config.get("trainer", {})
    steps = int(trainer.get("n_steps", 10_000))
    most = policy.horizon - policy.n_obs_steps + 1
    return {
        "data": quote_path(str(case.data)),
        "run": quote_path(str(case.run)),
        "task": case.task.name,
        "key": "KEY",
        "longer_history": policy.n_obs_steps + 2,
        "longer_horizon": 2 * policy.horizon,
        "more_action_steps": min(most, max(8, 2 * policy.n_action_steps)),
        "best_action_steps": policy.n_action_steps,
        "best_sampler_steps": 2 * policy.table.n_evaluations,
        "more_episodes": max(100, 4 * case.demonstrations.n_episodes),
        "half_steps": max(1, steps // 2),
        "tenth_steps": max(1, steps // 10),
        "more_steps": 4 * steps,
        "lower_rate": f"{float(trainer.get('learning_rate', 5e-4)) / 5:.1e}",
        **case.facts,
    }


def quote_path(path: str) -> str:
    """Return a path as a word of the command line, quoted where it needs to be."""
    return path if all(c.isalnum() or c in "/._-" for c in path) else quote(path)
