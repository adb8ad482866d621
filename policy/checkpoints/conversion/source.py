"""The tensors of a checkpoint that is being converted: each is taken once, none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from ...errors import PolicyError

#: The end of a tensor's name that most rules keep.
KIND = "(weight|bias)"


class Source:
    """The names and tensors that are not yet carried over.

    Args:
        state: all tensors of the checkpoint.

    Attributes:
        left: those that are not yet taken.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.left = dict(state)

    def take(self, name: str) -> Tensor:
        """Return a tensor and count it as carried over.

        Raises:
            PolicyError: there is none of that name.
        """
        if name not in self.left:
            raise PolicyError(f"cannot convert: the checkpoint lacks '{name}'")
        return self.left.pop(name)

    def take_affine(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the weight and the bias of a layer."""
        return self.take(f"{name}.weight"), self.take(f"{name}.bias")

    def rename(self, rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
        """Take every tensor that a rule's pattern matches as a whole, under its new name."""
        renamed = {}
        for name in list(self.left):
            for pattern, new in rules:
                if re.fullmatch(pattern, name):
                    renamed[re.sub(pattern, new, name)] = self.left.pop(name)
                    break
        return renamed

    def check_empty(self) -> None:
        """Raise PolicyError where a tensor is not carried over."""
        if self.left:
            first, *others = sorted(self.left)
            more = f" and {len(others)} more tensors" if others else ""
            raise PolicyError(f"cannot carry over '{first}'{more}: the network has no such part")
