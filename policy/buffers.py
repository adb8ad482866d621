"""Numbers by key that a module keeps and never rounds below single precision."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn


class Buffers(nn.Module):
    """Tensors by key and name, in the state dict as `name:key`."""

    def keep(self, key: str, name: str, value: Tensor, *, persistent: bool = True) -> None:
        """Make a buffer of a key."""
        self.register_buffer(buffer_name(key, name), value, persistent=persistent)

    def get(self, key: str, name: str) -> Float[Tensor, "*shape"]:
        """Return a key's buffer."""
        # Not `get_buffer`, which looks for submodules in the name at every call.
        buffer = self._buffers[buffer_name(key, name)]
        assert buffer is not None
        return buffer

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Buffers:
        """Move or cast, but never below single precision: bfloat16 would lose millimetres."""

        def moved(buffer: Tensor) -> Tensor:
            result = fn(buffer)
            return result if result.dtype.itemsize >= 4 else buffer.to(result.device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self


def buffer_name(key: str, name: str) -> str:
    """Return the name of a key's buffer."""
    # Buffer names may not hold dots, and keys of foreign data sets do.
    return f"{name}:{key.replace('.', '/')}"
