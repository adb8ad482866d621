"""Nearest neighbours by brute force, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .sample import Numbers

# Distances held at once.
BLOCK = 1 << 22


def nearest(
    queries: Numbers,
    points: Numbers,
    count: int,
    *,
    query_groups: NDArray[np.int64],
    point_groups: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Numbers]:
    """Return the nearest point of each of the nearest other groups, and its squared distance.

    Points of one group (steps of one episode) resemble one another: only one of them counts.

    Args:
        queries: [Q, D].
        points: [P, D], the points of a group side by side.
        count: How many groups for each query, less than there are.
        query_groups: [Q].
        point_groups: [P], ascending.

    Returns:
        int64 [Q, count] and float64 [Q, count], nearest first.
    """
    found = np.zeros((len(queries), count), dtype=np.int64)
    distances = np.full((len(queries), count), np.inf)
    names, firsts = np.unique(point_groups, return_index=True)
    stops = np.append(firsts[1:], len(points))
    sizes = np.einsum("ij,ij->i", points, points)
    block = max(1, BLOCK // max(1, len(points)))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        squares = sizes - 2 * (part @ points.T) + np.einsum("ij,ij->i", part, part)[:, None]
        np.maximum(squares, 0, out=squares)

        least = np.minimum.reduceat(squares, firsts, axis=1)
        least[query_groups[start : start + block, None] == names] = np.inf
        order = np.argsort(least, axis=1, kind="stable")[:, :count]
        distances[start : start + block] = np.take_along_axis(least, order, axis=1)
        for row, groups in enumerate(order):
            found[start + row] = [
                firsts[g] + int(np.argmin(squares[row, firsts[g] : stops[g]])) for g in groups
            ]
    return found, distances
