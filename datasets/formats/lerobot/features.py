"""The features of `info.json` and the keys that they become.

The rule of names: `observation.`, then `images.` or `image.`, and `next.` go from the front of a
name; the dots that are left become `_`. Features whose short names coincide keep their long ones.
`export` notes beside a feature which key it was, which then stands above the rule.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import DatasetError, whole_number
from ...keys import ACTION, IMAGE_CHANNELS
from ..files import plain_name

Kind = Literal["number", "image", "video", "text"]

PREFIXES = ("observation.", "images.", "image.", "next.")
#: What a row says of its place in the data set, and what no policy is told.
BOOKKEEPING = (
    "timestamp",
    "frame_index",
    "episode_index",
    "index",
    "task_index",
    "next.done",
    "next.success",
)
#: Where `export` notes the key and shape that a feature had.
MARK = "kinoise"
LARGEST_STEP_BYTES = 1 << 28
LONGEST_NAME = 200


@dataclass(frozen=True)
class Feature:
    """One feature of a LeRobot data set.

    Attributes:
        name: In the data set.
        key: Here.
        kind: How its values are stored.
        dtype: As `info.json` declares it; "image" and "video" for pictures.
        stored: Shape of one step as `info.json` declares it, [h, w, c] for pictures.
        shape: Shape of one step here.
    """

    name: str
    key: str
    kind: Kind
    dtype: str
    stored: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def is_bookkeeping(self) -> bool:
        """Whether it is left out unless asked for."""
        return self.name in BOOKKEEPING


def short_name(name: str) -> str:
    """Return the key that the rule of names gives a feature by itself."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name.replace(".", "_")


def parse_features(path: Path, described: Any) -> dict[str, Feature]:
    """Return the features of `info.json` by their keys.

    Raises:
        DatasetError: One is not described, is too large, or its key is taken.
    """
    if not isinstance(described, dict) or not described:
        raise DatasetError(f"{path} describes no features; repair it")
    for name, each in described.items():
        if not isinstance(each, dict) or len(name) > LONGEST_NAME:
            raise DatasetError(f"{path}: feature {name[:80]!r} is not described; repair it")

    features: dict[str, Feature] = {}
    for name, key in _keys(path, described).items():
        feature = _feature(path, name, key, described[name])
        if key in features:
            raise DatasetError(
                f"{path}: features {features[key].name!r} and {name!r} would both be the key "
                f"{key!r}; rename one"
            )
        features[key] = feature
    return features


def _keys(path: Path, described: Mapping[str, Any]) -> dict[str, str]:
    marked = {name: key for name, each in described.items() if (key := _marked_key(each))}
    short = {name: short_name(name) for name in described if name not in marked}
    taken = Counter([*marked.values(), *short.values()])
    keys = {name: marked.get(name) or _unmarked(name, short[name], taken) for name in described}
    # Some writers say "actions".
    if ACTION not in keys.values() and "actions" in keys:
        keys["actions"] = ACTION
    return {name: plain_name(path, key) for name, key in keys.items()}


def _unmarked(name: str, short: str, taken: Mapping[str, int]) -> str:
    if taken[short] == 1:
        return short
    # A key of ours may be called as LeRobot calls its bookkeeping.
    return f"lerobot_{name}" if name in BOOKKEEPING else name.replace(".", "_")


def _marked_key(described: Mapping[str, Any]) -> str | None:
    mark = described.get(MARK)
    key = mark.get("key") if isinstance(mark, dict) else None
    return key if isinstance(key, str) else None


def _feature(path: Path, name: str, key: str, described: Mapping[str, Any]) -> Feature:
    dtype = described.get("dtype")
    if dtype in ("image", "video"):
        shape = _picture_shape(path, name, described)
        return Feature(name, key, kind=dtype, dtype=dtype, stored=shape, shape=shape)
    if dtype == "string" or dtype == "language":
        return Feature(name, key, kind="text", dtype=dtype, stored=(), shape=())

    try:
        width = np.dtype(str(dtype)).itemsize
        known = np.dtype(str(dtype)).kind in "biuf"
    except TypeError:
        known = False
    if not known:
        raise DatasetError(
            f"{path}: feature {name!r} has dtype {str(dtype)[:40]!r}; known are numbers, bool, "
            "image, video and string"
        )
    shape = _shape(path, name, described.get("shape"), width)
    return Feature(
        name, key, kind="number", dtype=str(dtype), stored=shape, shape=_marked(described, shape)
    )


def _shape(path: Path, name: str, shape: Any, width: int) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > 5:
        raise DatasetError(f"{path}: feature {name!r} has shape {str(shape)[:40]}; repair it")
    sizes = tuple(
        whole_number(
            f"{path}: the shape of feature {name!r}", size, least=1, most=LARGEST_STEP_BYTES
        )
        for size in shape
    )
    if math.prod(sizes) * width > LARGEST_STEP_BYTES:
        raise DatasetError(
            f"{path}: a step of feature {name!r} takes more than {LARGEST_STEP_BYTES >> 20} MiB; "
            "leave it out of the source"
        )
    return sizes or (1,)


def _marked(described: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a step here: a number on its own may be marked as such."""
    mark = described.get(MARK)
    alone = shape == (1,) and isinstance(mark, dict) and mark.get("shape") == []
    return () if alone else shape


def _picture_shape(path: Path, name: str, described: Mapping[str, Any]) -> tuple[int, ...]:
    """Return [h, w, c] of pictures, which `info.json` may give as [c, h, w]."""
    shape = _shape(path, name, described.get("shape"), width=1)
    names = described.get("names")
    first = isinstance(names, list) and bool(names) and str(names[0]).startswith("channel")
    if len(shape) == 3 and (first or shape[-1] not in IMAGE_CHANNELS):
        shape = (shape[1], shape[2], shape[0])
    if len(shape) != 3 or shape[-1] not in IMAGE_CHANNELS:
        raise DatasetError(
            f"{path}: pictures of {name!r} have shape {shape}; known are height, width and "
            "1, 3 or 4 channels"
        )
    return shape
