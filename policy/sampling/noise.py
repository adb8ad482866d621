"""The standard normal noise that a table consumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError

#: One source for the batch, or one a row; None for torch's own.
Generators = torch.Generator | Sequence[torch.Generator] | None


def draw_noises(
    n: int, shape: tuple[int, ...], batch: int, generator: Generators
) -> Float[Tensor, "{n} {batch} ..."]:
    """Return n noises `[n, B, *shape]`, each row from its own source where it has one.

    They are drawn where the generators live, so that a generator on a GPU costs no copy.

    Args:
        n: how many noises.
        shape: of one row's noise.
        batch: B, the number of rows.
        generator: one source for all rows, or one a row.

    Raises:
        PolicyError: there are fewer or more generators than rows.
    """
    sources = generator if isinstance(generator, Sequence) else [generator] * batch
    if len(sources) != batch:
        raise PolicyError(f"{len(sources)} generators for {batch} observations; give one each")

    rows = [
        torch.randn((n, *shape), generator=one, device=None if one is None else one.device)
        for one in sources
    ]
    return torch.stack(rows, 1)
