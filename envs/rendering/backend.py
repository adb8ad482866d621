"""Find out whether EGL can be used, without importing mujoco."""

from __future__ import annotations

import ctypes
import ctypes.util
import os


def egl_works() -> bool:
    """Whether an EGL library is there and knows at least one device to draw with.

    The library alone is not enough: the loader of libglvnd is often installed without a driver.
    """
    if os.environ.get("PYOPENGL_PLATFORM", "egl").lower() != "egl":
        return False
    name = ctypes.util.find_library("EGL")
    if name is None:
        return False
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return False
    library.eglGetProcAddress.restype = ctypes.c_void_p
    address = library.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    # EGLBoolean eglQueryDevicesEXT(EGLint max_devices, EGLDeviceEXT *devices, EGLint *num_devices)
    query = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(address)
    n_devices = ctypes.c_int(0)
    return bool(query(0, None, ctypes.byref(n_devices))) and n_devices.value > 0
