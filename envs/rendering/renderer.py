"""Pictures of a simulation: OpenGL where it works, ray casting with numpy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..errors import EnvError, unknown_name
from .raycast import RaycastRenderer

Image = NDArray[np.uint8]


class Renderer(Protocol):
    """What both renderers offer."""

    def render(self, data: Any, camera: str, width: int, height: int) -> Image:
        """Return the view of a camera of the model, uint8 `[height, width, 3]`."""
        ...

    def close(self) -> None:
        """Free what the renderer holds."""
        ...


class GLRenderer:
    """OpenGL pictures.

    Software rasterisers spend nearly all their time on shadows and smoothing.

    Args:
        model: mujoco's compiled model.
        shadow_size: pixels of the shadow map's edge, 0 for no shadows.
        n_samples: samples a pixel, 0 for no smoothing.

    Raises:
        EnvError: no context can be created.
    """

    def __init__(self, model: Any, *, shadow_size: int = 0, n_samples: int = 0) -> None:
        model.vis.quality.shadowsize = shadow_size
        model.vis.quality.offsamples = n_samples
        self._model = model
        self._renderers: dict[tuple[int, int], Any] = {}
        self._renderer(16, 16)

    def render(self, data: Any, camera: str, width: int, height: int) -> Image:
        """See Renderer."""
        renderer = self._renderer(width, height)
        renderer.update_scene(data, camera=camera)
        return np.array(renderer.render(), np.uint8)

    def close(self) -> None:
        """See Renderer."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _renderer(self, width: int, height: int) -> Any:
        """Return mujoco's renderer for pictures of this size; it draws in one size only."""
        if (width, height) not in self._renderers:
            buffer = self._model.vis.global_
            buffer.offwidth = max(buffer.offwidth, width)
            buffer.offheight = max(buffer.offheight, height)
            try:
                self._renderers[width, height] = mujoco.Renderer(self._model, height, width)
            except Exception as error:  # each back end raises errors of its own
                raise EnvError(f"no OpenGL context can be created: {error}") from error
        return self._renderers[width, height]


_RENDERERS: dict[str, Callable[[Any], Renderer]] = {
    "gl": GLRenderer,
    "gl-fine": partial(GLRenderer, shadow_size=2048, n_samples=8),
    "raycast": RaycastRenderer,
    "raycast-fine": partial(RaycastRenderer, shadows=True),
}
_FIRST_THAT_WORKS = {"auto": ("gl", "raycast"), "fine": ("gl-fine", "raycast-fine")}


def open_renderer(model: Any, kind: str = "auto") -> Renderer:
    """Return a renderer for `model`.

    Args:
        model: mujoco's compiled model.
        kind: "auto", OpenGL or else ray casting, both quick enough for a policy's observations;
            "fine", the same with shadows, for people; or one of "gl", "gl-fine", "raycast",
            "raycast-fine".

    Raises:
        EnvError: another kind, or OpenGL where no context can be created.
    """
    if kind not in _RENDERERS and kind not in _FIRST_THAT_WORKS:
        raise unknown_name("renderer", kind, (*_RENDERERS, *_FIRST_THAT_WORKS))
    first, *rest = _FIRST_THAT_WORKS.get(kind, (kind,))
    try:
        return _RENDERERS[first](model)
    except EnvError:
        if not rest:
            raise
        return _RENDERERS[rest[0]](model)
