"""Single values beside the arrays: the environment, the control rate, whatever else is short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import SourceArray
from .names import ENV_NAMES, PERIOD_NAMES, RATE_NAMES

SHORT_BYTES = 4000


@dataclass(frozen=True)
class Single:
    """A single value and what it states, named as in `storage.attributes`."""

    value: Any
    stated: dict[str, Any]


def read_single(array: SourceArray) -> Single | None:
    """Return the one value of an array; None where it is none that JSON can keep."""
    if array.dtype.kind not in "biufUS" or array.dtype.itemsize > SHORT_BYTES:
        return None
    value = array.whole().reshape(()).item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return Single(value, _stated(array.leaf, value))


def _stated(name: str, value: Any) -> dict[str, Any]:
    if name in ENV_NAMES and isinstance(value, str):
        return {"env_id": value}
    if isinstance(value, bool | str) or not 0 < value < 1e9:
        return {}
    if name in RATE_NAMES:
        return {"control_rate_hz": float(value)}
    if name in PERIOD_NAMES and value > 1e-9:
        return {"control_rate_hz": 1 / float(value)}
    return {}
