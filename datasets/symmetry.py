"""Augmentation by an exact symmetry: affine maps of observations and actions.

A symmetry is {key: (matrix [n, n], offset [n])} on the key's flattened value; keys that it does not
name are unchanged by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import DatasetError

Affine = tuple[NDArray[np.float64], NDArray[np.float64]]


class SymmetryMap:
    """Applies a symmetry to some of the windows of a batch.

    Args:
        symmetry: {key: (matrix [n, n], offset [n])}.
        steps: {key: [N, ...]} of the data set, to check the sizes against.

    Attributes:
        maps: Those of the keys that are there, float32, for batches.

    Raises:
        DatasetError: A matrix does not fit its key.
    """

    def __init__(self, symmetry: Mapping[str, Affine], steps: Mapping[str, torch.Tensor]) -> None:
        self.maps: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._exact: dict[str, Affine] = {}
        for key, (matrix, offset) in symmetry.items():
            if key not in steps:
                continue
            size = steps[key][0].numel()
            if np.shape(matrix) != (size, size) or np.shape(offset) != (size,):
                raise DatasetError(
                    f"the symmetry maps {key!r} with a matrix of shape {np.shape(matrix)}, "
                    f"a step of it has {size} numbers; choose the task's own symmetry"
                )
            self._exact[key] = (np.asarray(matrix, np.float64), np.asarray(offset, np.float64))
            self.maps[key] = (torch.as_tensor(matrix).float(), torch.as_tensor(offset).float())

    def __call__(self, key: str, values: torch.Tensor) -> torch.Tensor:
        """Return the image of values [..., *shape of a step]; unchanged for keys without a map."""
        if key not in self.maps:
            return values
        matrix, offset = self.maps[key]
        flat = values.reshape(-1, len(offset)).float()
        return torch.addmm(offset, flat, matrix.T).to(values.dtype).reshape(values.shape)

    def all(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the batch with every window mapped."""
        obs = {key: self(key, values) for key, values in batch["obs"].items()}
        return {**batch, "obs": obs, "action": self("action", batch["action"])}

    def some(self, batch: dict[str, Any], seed: int, step: int) -> dict[str, Any]:
        """Return the batch with each window mapped with probability one half.

        Which ones is a function of (seed, step) alone.
        """
        generator = np.random.Generator(np.random.Philox(key=[seed, (1 << 40) + step]))
        chosen = torch.from_numpy(generator.random(len(batch["action"])) < 0.5)

        def mapped(key: str, values: torch.Tensor) -> torch.Tensor:
            rows = chosen.view(-1, *[1] * (values.ndim - 1))
            return torch.where(rows, self(key, values), values)

        obs = {key: mapped(key, values) for key, values in batch["obs"].items()}
        return {**batch, "obs": obs, "action": mapped("action", batch["action"])}

    def image(self, key: str, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the image of values [n, *shape of a step] in double precision."""
        matrix, offset = self._exact[key]
        flat = values.reshape(len(values), -1).astype(np.float64)
        mapped: NDArray[np.float64] = flat @ matrix.T + offset
        return mapped.reshape(values.shape)
