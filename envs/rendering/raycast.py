"""Pictures without any graphics library: mujoco's ray casting and numpy shading.

One ray per pixel finds the geom that is seen. Colours, textured planes, lights and sky are the
model's; there are no reflections and no transparency. Shadows, if wanted, take one more ray per
pixel, from a point far along the first light that casts them.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_TYPE = mujoco.mjtGeom
_PLANE, _SPHERE, _CAPSULE = (
    int(kind) for kind in (_TYPE.mjGEOM_PLANE, _TYPE.mjGEOM_SPHERE, _TYPE.mjGEOM_CAPSULE)
)
_ELLIPSOID, _CYLINDER, _BOX = (
    int(kind) for kind in (_TYPE.mjGEOM_ELLIPSOID, _TYPE.mjGEOM_CYLINDER, _TYPE.mjGEOM_BOX)
)
_SKYBOX = int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)
_RGB = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
_SEEN_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
"""The geom groups that mujoco's own renderer shows."""
_LIGHT_DISTANCE = 10.0
_SURFACE_OFFSET = 2e-3
"""Metres by which a shadow must be cast by something else, so that no surface shades itself."""


class RaycastRenderer:
    """A Renderer (see renderer.py) that needs nothing but mujoco and numpy."""

    def __init__(self, model: Any, *, shadows: bool = False) -> None:
        self._model = model
        self._colours = _geom_colours(model)
        self._sky = _sky_colours(model)
        self._textures = {
            int(geom): texture
            for geom in np.flatnonzero(model.geom_type == _PLANE)
            if (texture := _plane_texture(model, int(geom))) is not None
        }
        casting = np.flatnonzero(model.light_castshadow)
        self._shadow_light = int(casting[0]) if shadows and len(casting) else None
        self._rays: dict[tuple[int, int, int], Array] = {}

    def render(self, data: Any, camera: str, width: int, height: int) -> Image:
        """See Renderer."""
        index = self._model.camera(camera).id
        axes = data.cam_xmat[index].reshape(3, 3)
        rays = np.einsum("ij,nj->ni", axes, self._camera_rays(index, width, height))
        geoms, distances = self._cast(data, data.cam_xpos[index], rays)
        colours = _sky_gradient(self._sky, rays)
        hit = geoms >= 0
        points = data.cam_xpos[index] + distances[hit, None] * rays[hit]
        colours[hit] = self._shade(data, geoms[hit], points, axes[:, 2])
        pixels = (colours.clip(0, 1) * 255).round().astype(np.uint8)
        return pixels.reshape(height, width, 3)

    def close(self) -> None:
        """See Renderer."""
        self._rays.clear()

    def _camera_rays(self, camera: int, width: int, height: int) -> Array:
        """Return unit directions [h * w, 3] in the camera's frame, row by row from the top."""
        key = (camera, width, height)
        if key not in self._rays:
            half = np.tan(np.radians(self._model.cam_fovy[camera]) / 2)
            x = (np.arange(width) + 0.5 - width / 2) * 2 * half / height
            y = (height / 2 - np.arange(height) - 0.5) * 2 * half / height
            rays = np.stack(np.broadcast_arrays(x, y[:, None], -1.0), axis=-1).reshape(-1, 3)
            self._rays[key] = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        return self._rays[key]

    def _cast(self, data: Any, origin: Array, rays: Array) -> tuple[NDArray[np.int32], Array]:
        """Return the geom each ray [n, 3] meets first, -1 for none, and how far away."""
        n_rays = len(rays)
        geoms = np.full(n_rays, -1, np.int32)
        distances = np.zeros(n_rays)
        head = (self._model, data, origin, rays.reshape(-1), _SEEN_GROUPS, 1, -1, geoms, distances)
        try:
            mujoco.mj_multiRay(*head, None, n_rays, mujoco.mjMAXVAL)
        except TypeError:  # older releases do not offer normals
            mujoco.mj_multiRay(*head, n_rays, mujoco.mjMAXVAL)
        return geoms, distances

    def _shade(self, data: Any, geoms: NDArray[np.int32], points: Array, back: Array) -> Array:
        """Return colours [n, 3] of surface points (Lambert's law); `back` points to the camera."""
        normals = _normals(self._model, data, geoms, points)
        headlight = self._model.vis.headlight
        light = (normals @ back).clip(0)[:, None] * headlight.diffuse
        light += headlight.ambient + self._model.light_ambient.sum(axis=0)
        for index in range(self._model.nlight):
            towards = -data.light_xdir[index]
            lit = (normals @ towards).clip(0)
            if index == self._shadow_light:
                lit *= self._lit(data, points, towards)
            light += lit[:, None] * self._model.light_diffuse[index]
        return np.asarray(self._surface_colours(data, geoms, points) * light)

    def _lit(self, data: Any, points: Array, towards: Array) -> NDArray[np.bool_]:
        """Whether nothing stands between points [n, 3] and a light in a direction."""
        origin = _LIGHT_DISTANCE * towards
        rays = points - origin
        lengths = np.linalg.norm(rays, axis=1)
        _, distances = self._cast(data, origin, rays / lengths[:, None])
        return np.asarray((distances < 0) | (distances > lengths - _SURFACE_OFFSET))

    def _surface_colours(self, data: Any, geoms: NDArray[np.int32], points: Array) -> Array:
        colours = self._colours[geoms]
        for geom, (picture, repeat) in self._textures.items():
            here = geoms == geom
            local = (points[here] - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
            places = (local[:, :2] * repeat * [1, -1]) % 1.0
            rows, columns = (places[:, ::-1] * picture.shape[:2]).astype(int).T
            colours[here] *= picture[rows, columns]
        return colours


def _normals(model: Any, data: Any, geoms: NDArray[np.int32], points: Array) -> Array:
    """Return unit surface normals [n, 3] at points on geoms; meshes get their z axis."""
    axes = data.geom_xmat[geoms].reshape(-1, 3, 3)
    local = np.einsum("nij,ni->nj", axes, points - data.geom_xpos[geoms])
    size = model.geom_size[geoms]
    kinds = model.geom_type[geoms]
    normals = np.tile([0.0, 0.0, 1.0], (len(geoms), 1))

    round_ = kinds == _SPHERE
    normals[round_] = local[round_]
    ellipsoid = kinds == _ELLIPSOID
    normals[ellipsoid] = local[ellipsoid] / size[ellipsoid] ** 2
    capsule = kinds == _CAPSULE
    normals[capsule] = local[capsule]
    normals[capsule, 2] -= local[capsule, 2].clip(-size[capsule, 1], size[capsule, 1])
    cylinder = kinds == _CYLINDER
    normals[cylinder, 2] = np.sign(local[cylinder, 2])
    side = cylinder & (np.abs(local[:, 2]) < size[:, 1] - 1e-6)
    normals[side] = local[side] * [1.0, 1.0, 0.0]
    box = kinds == _BOX
    face = np.argmax(np.abs(local[box]) - size[box], axis=1)
    normals[box] = np.eye(3)[face] * np.sign(local[box])

    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    return np.asarray(np.einsum("nij,nj->ni", axes, normals))


def _geom_colours(model: Any) -> Array:
    """Return the colour [ngeom, 3] of every geom: its material's, else its own."""
    own = np.array(model.geom_rgba[:, :3], np.float64)
    with_material = model.geom_matid >= 0
    own[with_material] = model.mat_rgba[model.geom_matid[with_material], :3]
    return own


def _plane_texture(model: Any, geom: int) -> tuple[Array, Array] | None:
    """Return a plane's picture [h, w, 3] and its repeats per metre [2]; None if it has none."""
    material = model.geom_matid[geom]
    texture = model.mat_texid[material, _RGB] if material >= 0 else -1
    if texture < 0:
        return None
    repeat = np.array(model.mat_texrepeat[material], np.float64)
    # Repeats are counted per half-extent, or per half metre of a "uniform" texture.
    repeat /= 2 if model.mat_texuniform[material] else 2 * model.geom_size[geom, :2]
    return _texture(model, texture), repeat


def _texture(model: Any, texture: int) -> Array:
    shape = (model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture])
    start = model.tex_adr[texture]
    pixels = model.tex_data[start : start + int(np.prod(shape))].reshape(shape)
    return np.asarray(pixels[..., :3] / 255.0)


def _sky_colours(model: Any) -> Array:
    """Return the sky's colours [2, 3] straight below and straight above; black without a sky."""
    skies = np.flatnonzero(model.tex_type == _SKYBOX)
    if len(skies) == 0:
        return np.zeros((2, 3))
    # Six square faces below one another: right, left, up, down, front, back.
    faces = _texture(model, skies[0]).reshape(6, -1, 3).mean(axis=1)
    return np.asarray(faces[[3, 2]])


def _sky_gradient(sky: Array, rays: Array) -> Array:
    height = (rays[:, 2, None] + 1) / 2
    return np.asarray(sky[0] * (1 - height) + sky[1] * height)
