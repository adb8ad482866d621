"""Pictures of one camera as mp4 files that hold many episodes each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import DatasetError
from ..guard import needed
from .columns import Column

FILE_MB = 200
#: {choice: (encoder, name of the codec, its own options)}.
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "h264", {}),
    "av1": ("libsvtav1", "av1", {"preset": "12"}),
}
# As LeRobot does: with a whole picture in every two, any frame is soon decoded.
GROUP = 2
PIXELS = "yuv420p"


@dataclass(frozen=True)
class Codec:
    """How pictures become video.

    Attributes:
        name: Of `CODECS`.
        crf: Constant rate factor: greater is smaller and coarser.
        fps: Frames a second.
    """

    name: str
    crf: int
    fps: float

    @property
    def rate(self) -> Fraction:
        """Frames a second as a ratio, which is how video files hold it."""
        return Fraction(self.fps).limit_denominator(1001)

    def check(self, column: Column) -> None:
        """Hold a camera to what the codec can do.

        Raises:
            DatasetError: The encoder is not there, or the picture has an odd side.
        """
        av = needed("av")
        encoder, _, _ = CODECS[self.name]
        if encoder not in av.codecs_available:
            raise DatasetError(f"this build of PyAV has no encoder {encoder!r}; use images=png")
        if column.shape[0] % 2 or column.shape[1] % 2:
            raise DatasetError(
                f"pictures of {column.key!r} are {column.shape[0]}x{column.shape[1]}, and video "
                "needs even sides; use images=png"
            )

    def described(self, column: Column) -> dict[str, Any]:
        """Return what `info.json` says of a camera's video."""
        height, width, channels = column.shape
        return {
            "video.height": height,
            "video.width": width,
            "video.codec": CODECS[self.name][1],
            "video.pix_fmt": PIXELS,
            "video.is_depth_map": False,
            "video.fps": self.fps,
            "video.channels": channels,
            "has_audio": False,
        }


class VideoWriter:
    """Writes one camera's frames, episode after episode, and starts a new file when one is full."""

    def __init__(self, column: Column, codec: Codec, path_of: Callable[[int], Path]) -> None:
        """Prepare to write; `path_of(n)` names the n-th file."""
        self._column = column
        self._codec = codec
        self._path_of = path_of
        self._file = -1
        self._container: Any = None
        self._stream: Any = None
        self._bytes = 0
        self._n_frames = 0
        self._first = 0

    def begin(self) -> None:
        """Begin an episode."""
        if self._container is None or self._bytes >= FILE_MB << 20:
            self.close()
            self._open()
        self._first = self._n_frames

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Append frames [n, h, w, 3] to the episode."""
        av = needed("av")
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = self._n_frames
            frame.time_base = 1 / self._codec.rate
            self._mux(frame)
            self._n_frames += 1

    def place(self) -> tuple[int, float, float]:
        """Return the file of the episode, and when it begins and ends there in seconds."""
        rate = self._codec.rate
        return self._file, float(self._first / rate), float(self._n_frames / rate)

    def close(self) -> None:
        """Finish the file."""
        if self._container is None:
            return
        self._mux(None)
        self._container.close()
        self._container = None

    def discard(self) -> None:
        """Let go of the file, whatever state it is in."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> None:
        av = needed("av")
        # Else the AV1 encoder tells the terminal of each file that it begins.
        os.environ.setdefault("SVT_LOG", "1")
        self._file += 1
        self._bytes = 0
        self._n_frames = 0
        path = self._path_of(self._file)
        path.parent.mkdir(parents=True, exist_ok=True)
        encoder, _, options = CODECS[self._codec.name]
        # The index goes first, so that a reader on a network finds it at once.
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream(
            encoder,
            rate=self._codec.rate,
            options={"g": str(GROUP), "crf": str(self._codec.crf), **options},
        )
        self._stream.height, self._stream.width = self._column.shape[:2]
        self._stream.pix_fmt = PIXELS
        self._stream.time_base = 1 / self._codec.rate

    def _mux(self, frame: Any) -> None:
        """Encode a frame, or with None what the encoder still holds back."""
        packets = self._stream.encode(frame)
        self._bytes += sum(packet.size for packet in packets)
        self._container.mux(packets)
