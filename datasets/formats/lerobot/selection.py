"""Which features of a data set are carried over, and a note on each that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import DatasetError, nearest
from ...keys import ACTION
from .description import Description
from .features import Feature, Kind
from .places import fill, locate


@dataclass(frozen=True)
class Selection:
    """What is carried over.

    Attributes:
        features: By key, sorted.
        notes: One line for each thing left out or named otherwise.
    """

    features: Mapping[str, Feature]
    notes: tuple[str, ...]

    def of(self, kind: Kind) -> list[Feature]:
        """Return the features of one kind."""
        return [feature for feature in self.features.values() if feature.kind == kind]

    @property
    def stored(self) -> dict[str, Feature]:
        """The features that lie in parquet files, by key."""
        return {key: each for key, each in self.features.items() if each.kind != "video"}


def select(about: Description, keys: Sequence[str] | None, *, allow_missing: bool) -> Selection:
    """Choose the features to carry over.

    Bookkeeping and words stay behind unless they are asked for by name; words always.

    Args:
        about: The data set.
        keys: Keys, or names of features; None for all.
        allow_missing: Leave out a camera whose videos are absent, rather than refuse.

    Raises:
        DatasetError: There is no action, no such key, or a camera's videos are absent.
    """
    features = about.features
    if ACTION not in features:
        raise DatasetError(
            f"{about.root} has no feature 'action', only {sorted(features)[:20]}; rename the "
            "right one in meta/info.json and the data"
        )
    wanted = _asked(about, keys)
    taken: dict[str, Feature] = {}
    notes: list[str] = []
    bookkeeping: list[str] = []
    for key, feature in sorted(features.items()):
        if keys is not None and key not in wanted:
            notes.append(f"not carried over, as asked: key {key!r}")
        elif feature.kind == "text":
            notes.append(f"not carried over: the words of {feature.name!r}")
        elif feature.is_bookkeeping and key not in wanted:
            bookkeeping.append(feature.name)
        elif feature.kind == "video" and _is_absent(about, feature):
            notes.append(_absent(about, feature, wanted or set(features), allow_missing))
        else:
            taken[key] = feature

    if bookkeeping:
        notes.append(f"not carried over: the bookkeeping {', '.join(sorted(bookkeeping))}")
    if taken[ACTION].kind != "number":
        raise DatasetError(f"{about.root}: the action is a {taken[ACTION].kind}, not numbers")
    renamed = [f"{each.name} -> {key}" for key, each in taken.items() if each.name != key]
    if renamed:
        notes.append(f"named anew: {', '.join(renamed)}")
    return Selection(features=taken, notes=tuple(notes))


def _asked(about: Description, keys: Sequence[str] | None) -> set[str]:
    """Return the keys that were asked for, by either name; none if nobody did."""
    if keys is None:
        return set()
    by_name = {feature.name: key for key, feature in about.features.items()}
    for key in keys:
        if key not in about.features and key not in by_name:
            raise DatasetError(f"{about.root} has no key {key!r}{nearest(key, about.features)}")
    return {ACTION, *(by_name.get(key, key) for key in keys)}


def _is_absent(about: Description, feature: Feature) -> bool:
    """Say whether a camera's first file is missing, as in copies without video."""
    place: dict[str, int | str] = {"video_key": feature.name}
    place |= (
        {"episode_chunk": 0, "episode_index": 0}
        if about.major == 2
        else {"chunk_index": 0, "file_index": 0}
    )
    return locate(about.root, fill(about.video_path, place)) is None


def _absent(about: Description, feature: Feature, wanted: set[str], allow_missing: bool) -> str:
    if not allow_missing:
        rest = sorted(
            key
            for key in wanted - {feature.key}
            if not about.features[key].is_bookkeeping and about.features[key].kind != "text"
        )
        raise DatasetError(
            f"{about.root}: the videos of {feature.name!r} are missing; download them, or leave "
            f"them out with keys=[{','.join(rest)}] or allow_missing=true"
        )
    return f"not carried over: the videos of {feature.name!r}, which are missing"
