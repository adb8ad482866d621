"""Encode rendered frames as a video that browsers play."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode_mp4(frames: NDArray[np.uint8], fps: float) -> bytes:
    """Return `frames`, uint8 `[T, h, w, 3]`, as an H.264 mp4 of `fps` pictures a second.

    An odd height or width is made even by repeating the last row or column, which yuv420p needs.
    Raises ValueError for another shape or type, and for no frames.
    """
    import imageio_ffmpeg

    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"frames must be uint8 [T, h, w, 3], got {frames.dtype} {frames.shape}")
    height, width = frames.shape[1:3]
    padding = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    frames = np.ascontiguousarray(np.pad(frames, padding, mode="edge"))
    with tempfile.TemporaryDirectory() as folder:
        # A file, not a pipe: the index is moved to its front, so that playing starts at once.
        path = Path(folder) / "video.mp4"
        writer = imageio_ffmpeg.write_frames(
            str(path),
            (frames.shape[2], frames.shape[1]),
            fps=fps,
            codec="libx264",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            output_params=["-crf", "21", "-movflags", "+faststart", "-threads", "1"],
        )
        writer.send(None)
        for frame in frames:
            writer.send(frame)
        writer.close()
        return path.read_bytes()
