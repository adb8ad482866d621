"""Frames of mp4 files by their time, decoded once from front to back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from .guard import needed, reading

#: How far from a row's time its frame may lie, in periods of the data.
TOLERANCE = 0.25
FORMATS = {1: "gray", 3: "rgb24"}
#: A video's frames may be padded to whole blocks before they are cropped.
PADDING = 256


@dataclass(frozen=True)
class Clip:
    """A part of an mp4 file.

    Attributes:
        path: The file.
        start_s: When the part begins.
    """

    path: Path
    start_s: float


class FrameReader:
    """Reads the frames of one camera, from one file after the other, in the order of time.

    It never goes back, so that each frame is decoded once whatever the data set says, and holds
    two frames at a time.
    """

    def __init__(self, name: str, shape: tuple[int, ...], fps: float) -> None:
        """Prepare to read [h, w, c] frames of the feature `name` at `fps`."""
        self._name = name
        self._shape = shape
        self._tolerance_s = TOLERANCE / fps
        self._path: Path | None = None
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._now: Any = None
        self._next: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def read(self, clip: Clip, times_s: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the frames [n, h, w, c] at the given times, ascending, from the clip's begin.

        Raises:
            DatasetError: The file is damaged, has another picture size, or has no frame there.
        """
        if clip.path != self._path:
            self._open(clip.path)
        frames = np.empty((len(times_s), *self._shape), dtype=np.uint8)
        for row, time_s in enumerate(times_s):
            frames[row] = self._at(clip.start_s + float(time_s))
        return frames

    def _open(self, path: Path) -> None:
        self._close()
        with reading(path):
            self._container = open_video(path, self._shape)
            self._frames = self._container.decode(video=0)
        self._path = path
        self._now = None
        self._next = self._decoded()

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None
        self._path = None

    def _at(self, time_s: float) -> NDArray[np.uint8]:
        """Return the frame nearest to a time: forward while the next one is nearer."""
        while self._next is not None and (
            self._now is None or abs(self._next.time - time_s) <= abs(self._now.time - time_s)
        ):
            self._now = self._next
            self._next = self._decoded()

        if self._now is None or not abs(self._now.time - time_s) <= self._tolerance_s:
            raise DatasetError(
                f"{self._path} has no frame of {self._name!r} at {time_s:.3f} s, in its order; "
                "the video does not belong to these rows"
            )
        return self._to_numpy(self._now)

    def _decoded(self) -> Any:
        assert self._path is not None
        with reading(self._path):
            frame = next(self._frames, None)
            if frame is not None and (frame.pts is None or frame.is_corrupt):
                raise DatasetError(f"{self._path}: a frame is damaged; copy or download it again")
            return frame

    def _to_numpy(self, frame: Any) -> NDArray[np.uint8]:
        assert self._path is not None
        height, width, channels = self._shape
        _check_size(self._path, self._name, (frame.height, frame.width), self._shape)
        if channels == 1 and any(part.bits > 8 for part in frame.format.components):
            raise DatasetError(
                f"{self._path}: {self._name!r} holds more than 8 bits a pixel (depth); leave it "
                "out with keys=[...]"
            )
        with reading(self._path):
            picture: NDArray[np.uint8] = frame.to_ndarray(format=FORMATS[channels])
            return picture.reshape(height, width, channels)


def open_video(path: Path, shape: tuple[int, ...]) -> Any:
    """Open an mp4 file (`av.container.InputContainer`) of pictures of the given size.

    Raises:
        DatasetError: It is no mp4 with a video stream of that size.
    """
    av = needed("av")
    # The format is named: a play list under the name of an mp4 could open other files.
    container = av.open(str(path), format="mp4", options={"protocol_whitelist": "file"})
    try:
        if not container.streams.video:
            raise DatasetError(f"{path} holds no video; copy or download it again")
        stream = container.streams.video[0]
        _check_size(path, "video", (stream.height, stream.width), shape)
        height, width, _ = shape
        limit = (height + PADDING) * (width + PADDING)
        stream.codec_context.options = {"max_pixels": str(limit), "err_detect": "explode"}
        stream.thread_type = "AUTO"
    except BaseException:
        container.close()
        raise
    return container


def count_frames(path: Path, shape: tuple[int, ...]) -> tuple[int, float | None]:
    """Return how many frames an mp4 file states, 0 if it does not, and how many a second.

    Raises:
        DatasetError: As `open_video`.
    """
    with reading(path):
        container = open_video(path, shape)
        try:
            stream = container.streams.video[0]
            rate = stream.average_rate
            return int(stream.frames), None if rate is None else float(rate)
        finally:
            container.close()


def _check_size(path: Path, name: str, size: tuple[int, int], shape: tuple[int, ...]) -> None:
    if size != shape[:2]:
        raise DatasetError(
            f"{path}: {name} has pictures of {size[0]}x{size[1]}, where {shape[0]}x{shape[1]} is "
            "declared; correct meta/info.json"
        )
