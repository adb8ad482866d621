"""How well one thing predicts another on episodes that were not fitted: ridge on random features.

Random features: Rahimi & Recht 2007. They make a linear regression a smooth nonlinear one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .sample import Numbers

FEATURES = 256
FOLDS = 4
#: Ridges tried, as parts of the mean diagonal of the features' second moments.
RIDGES = (1e-4, 1e-2, 1.0)
SEED = 0


def squared_errors(inputs: Numbers, outputs: Numbers, groups: NDArray[np.int64]) -> Numbers:
    """Return [n, Dy], squared errors of predictions fitted to the other groups' rows.

    Args:
        inputs: [n, Dx], in units of their spread.
        outputs: [n, Dy].
        groups: [n], rows of one group (an episode) are never in fit and test at once; two at least.
    """
    features = _features(inputs)
    fold_of = _folds(groups)
    held_out = [fold_of == fold for fold in range(fold_of.max() + 1)]
    moments = [features[rows].T @ features[rows] for rows in held_out]
    products = [features[rows].T @ outputs[rows] for rows in held_out]
    moment, product = sum(moments), sum(products)

    errors = np.zeros((len(RIDGES), *outputs.shape))
    for rows, own_moment, own_product in zip(held_out, moments, products, strict=True):
        fitted = moment - own_moment
        size = np.trace(fitted) / len(fitted)
        for number, ridge in enumerate(RIDGES):
            damped = fitted + ridge * size * np.eye(len(fitted))
            weights = np.linalg.solve(damped, product - own_product)
            errors[number, rows] = (features[rows] @ weights - outputs[rows]) ** 2
    return np.asarray(errors[int(np.argmin(errors.sum((1, 2))))])


def _features(inputs: Numbers) -> Numbers:
    """Return [n, 1 + Dx + FEATURES]: a constant, the inputs, and waves of the data's own width."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, 0]))
    width = float(np.sqrt(max(inputs.var(0).sum(), 1e-12)))
    waves = generator.normal(size=(inputs.shape[1], FEATURES)) / width
    phases = generator.uniform(0, 2 * np.pi, FEATURES)
    return np.concatenate(
        [np.ones((len(inputs), 1)), inputs, np.cos(inputs @ waves + phases)], axis=1
    )


def _folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [n], which fold each row belongs to; whole groups, dealt at random."""
    names, place = np.unique(groups, return_inverse=True)
    order = np.random.Generator(np.random.Philox(key=[SEED, 1])).permutation(len(names))
    return np.asarray(order % min(FOLDS, len(names)))[place]
