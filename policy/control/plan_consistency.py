"""How well successive plans agree, and whether a policy hops between modes.

At every replan fresh plans are drawn for the same observations. Where they fall in two groups, the
policy sees two ways to go on; where the plan that is taken belongs to the other group than the
rest of the plan in execution, the episode changes its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from .execution import Plans, Rest

#: Fresh plans drawn for every replan.
N_PLANS = 16
#: Part of the plans' variance that two groups must explain. Of 16 numbers from one normal
#: distribution the best cut explains more in 1.5 of 100 draws, from a uniform one in 10.
SHARE = 0.85


@dataclass(frozen=True)
class Replan:
    """One replan of an episode.

    Attributes:
        disagreement: root mean square distance of the new plan from the rest of the one before,
            on their overlap, in units of the normalised actions.
        multimodal: whether fresh plans fall in two groups.
        switched: whether the new plan and the one before belong to different ones.
    """

    disagreement: float
    multimodal: bool
    switched: bool


def compare(plan: Rest, previous: Rest, fresh: Float[np.ndarray, "K overlap Da"]) -> Replan:
    """Return how a new plan agrees with the rest of the one before.

    Args:
        plan: the new one, as far as the one before reaches.
        previous: what is left of the one before.
        fresh: plans for the same observations, drawn to see what else there is.
    """
    disagreement = float(np.sqrt(np.mean(np.square(plan - previous, dtype=np.float64))))
    group = two_groups(fresh)
    if group is None:
        return Replan(disagreement, multimodal=False, switched=False)

    centres = np.stack([fresh[group].mean(0), fresh[~group].mean(0)])
    belongs = [int(np.square(centres - each).sum((1, 2)).argmin()) for each in (plan, previous)]
    return Replan(disagreement, multimodal=True, switched=belongs[0] != belongs[1])


def two_groups(plans: Plans) -> Bool[np.ndarray, "K"] | None:
    """Return which plans lie in the second of two groups; None where they form one.

    The groups are the best cut across the principal axis with at least two plans on each side.
    """
    points = np.asarray(plans, np.float64).reshape(len(plans), -1)
    points = points - points.mean(0)
    total = np.square(points).sum()
    if total == 0 or len(points) < 4:
        return None

    axis = np.linalg.svd(points, full_matrices=False)[2][0]
    order = np.argsort(points @ axis)
    share = _explained(points[order]) / total
    cut = int(share[1:-1].argmax()) + 1
    if share[cut] < SHARE:
        return None

    second = np.zeros(len(points), bool)
    second[order[cut + 1 :]] = True
    return second


def summary(replans: Sequence[Replan]) -> dict[str, float]:
    """Return the number of replans, the mean disagreement and the two shares of one episode."""
    n = max(1, len(replans))
    return {
        "replans": len(replans),
        "disagreement": sum(each.disagreement for each in replans) / n,
        "multimodal": sum(each.multimodal for each in replans) / n,
        "switches": sum(each.switched for each in replans) / n,
    }


def pooled(summaries: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the summary of all replans of several episodes."""
    n = sum(int(each["replans"]) for each in summaries)
    means = {
        key: sum(each["replans"] * each[key] for each in summaries) / max(1, n)
        for key in ("disagreement", "multimodal", "switches")
    }
    return {"replans": n, **means}


def _explained(points: Float64[np.ndarray, "K D"]) -> Float64[np.ndarray, "cuts"]:
    """Return the sum of squares between the groups of each cut of centred points in order."""
    n = len(points)
    left = np.arange(1, n)
    sums = np.square(np.cumsum(points, 0)[:-1]).sum(1)
    return np.asarray(sums * (1 / left + 1 / (n - left)))
