"""The simulator's side of the bridge: a process of another Python, where Kinoise is not installed.

This file stands alone: it needs numpy and gymnasium (0.26 or later) and nothing of Kinoise, and it
runs on Python 3.8. The other side imports the wire and the making of environments from here, so
that there is one copy of each.

A message is MAGIC, the header's length as four bytes, the header as JSON, and the bytes of the
arrays that the header lists. The other side asks, this one answers, one message each.
"""

from __future__ import annotations

import difflib
import json
import os
import struct
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # Python 3.8 could not evaluate these
    from collections.abc import Callable, Iterator, Mapping

    Arrays = list[np.ndarray[Any, Any]]
    Leaf = dict[str, Any]
    Answer = tuple[dict[str, Any], Arrays]

MAGIC = b"KNB1"
MAX_HEADER = 1 << 20
"""Bytes of a header."""
MAX_PAYLOAD = 1 << 28
"""Bytes of a message's arrays together."""
DTYPES = {np.dtype(code).name for code in "?bhilBHILefd"}
"""Of the numbers that cross."""

CALLED: set[str] = set()
"""Functions of set-ups that this process has called."""
NUMERIC = ("Box", "Discrete", "MultiBinary", "MultiDiscrete")
"""Spaces whose values are numbers."""


class WireError(Exception):
    """What came over the pipe is no message."""


class RefusedError(Exception):
    """An environment cannot be made as asked; the message is a single line."""


# ---------------------------------------------------------------- the wire


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Return a message as bytes.

    Raises:
        WireError: an array is not of numbers, or the message is too large.
    """
    listed = [[each.dtype.name, list(each.shape)] for each in arrays]
    text = json.dumps({**header, "arrays": listed}).encode()
    if len(text) > MAX_HEADER:
        raise WireError(f"a header of {len(text)} bytes; {MAX_HEADER} is the most")
    _check_arrays(listed)
    start = MAGIC + struct.pack("<I", len(text))
    return b"".join([start, text, *(each.tobytes() for each in arrays)])


def unpack(read: Callable[[int], bytes]) -> Answer:
    """Read a message and return its header and arrays.

    Args:
        read: returns exactly as many bytes as it is asked for.

    Raises:
        WireError: it is none, or larger than allowed; nothing large is read then.
    """
    start = read(len(MAGIC) + 4)
    if start[: len(MAGIC)] != MAGIC:
        raise WireError(f"not a message: {start!r}")
    (length,) = struct.unpack("<I", start[len(MAGIC) :])
    if length > MAX_HEADER:
        raise WireError(f"a header of {length} bytes; {MAX_HEADER} is the most")

    try:
        header = json.loads(read(length).decode())
    except (ValueError, RecursionError) as error:
        raise WireError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise WireError("a header that is not a JSON object")

    arrays = []
    for name, shape in _check_arrays(header.pop("arrays", None)):
        dtype = np.dtype(name)
        data = read(dtype.itemsize * _size(shape))
        arrays.append(np.frombuffer(bytearray(data), dtype).reshape(shape))
    return header, arrays


def _check_arrays(listed: Any) -> list[tuple[str, list[int]]]:
    """Return the list of dtypes and shapes, held to what is allowed."""
    total = 0
    if not isinstance(listed, list):
        raise WireError("a header that does not list its arrays")
    for entry in listed:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], list)):
            raise WireError("an array without dtype and shape")
        name, shape = entry
        sizes = [n for n in shape if isinstance(n, int) and 0 <= n <= MAX_PAYLOAD]
        known = isinstance(name, str) and name in DTYPES
        if not known or len(sizes) != len(shape) or len(shape) > 32:
            raise WireError(f"an array of {name!s:.20} and shape {shape!s:.60}")
        total += np.dtype(name).itemsize * _size(shape)
        if total > MAX_PAYLOAD:
            raise WireError(f"arrays of more than {MAX_PAYLOAD} bytes")
    return [(name, shape) for name, shape in listed]


def _size(shape: list[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


# ---------------------------------------------------------------- making an environment


def open_env(
    address: str,
    kwargs: Mapping[str, Any],
    *,
    setup: str | None = None,
    max_steps: int | None = None,
) -> Any:
    """Make the environment that an address names.

    Args:
        address: `gym:Name-v0` or `Name-v0` of gymnasium's registry, with `module:` before the name
            for a module to import first; or `factory:module:function`.
        kwargs: arguments of the environment.
        setup: functions to call before, `module:function`, separated by commas.
        max_steps: a time limit in place of the registered one; a factory sees to its own.

    Raises:
        RefusedError: there is no such environment, module or function, or an argument is wrong.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that a file here hides no installed package
    if "DISPLAY" not in os.environ and "WAYLAND_DISPLAY" not in os.environ:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws without a screen
    for each in filter(None, (setup or "").split(",")):
        if each not in CALLED:  # registering twice is a warning
            _function(each.strip(), "setup")()
            CALLED.add(each)

    kind, _, rest = address.partition(":")
    if kind == "factory":
        return _from_factory(_function(rest, "factory"), rest, kwargs)
    return _from_registry(rest if kind == "gym" else address, kwargs, max_steps)


def _from_factory(factory: Any, name: str, kwargs: Mapping[str, Any]) -> Any:
    import inspect

    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return factory(**kwargs)
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return factory(**kwargs)
    known = [each.name for each in parameters]
    # Pictures are asked for by us, not by the user; a factory that draws none may ignore them.
    kwargs = {key: kwargs[key] for key in kwargs if key in known or key != "render_mode"}
    for key in kwargs:
        if key not in known:
            raise RefusedError(f"{name} takes no argument {key!r}{_nearest(key, known)}")
    return factory(**kwargs)


def _from_registry(env_id: str, kwargs: Mapping[str, Any], max_steps: int | None) -> Any:
    import gymnasium

    if ":" not in env_id and env_id not in gymnasium.registry:
        near = _nearest(env_id, gymnasium.registry)
        mend = (
            "; import what registers it (gym:MODULE:NAME), or call it (env_setup=MODULE:FUNCTION)"
        )
        raise RefusedError(f"unknown task {env_id!r}{near or mend}")
    limit = {} if max_steps is None else {"max_episode_steps": max_steps}
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **limit, **kwargs)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise RefusedError(f"gymnasium cannot make {env_id!r}: {_line(error)}") from error


def _function(path: str, what: str) -> Any:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise RefusedError(f"the {what} {path!r} is not of the form module:function")
    try:
        found: Any = import_module(module_name)
    except ImportError as error:
        raise RefusedError(
            f"cannot import {module_name!r} of the {what}: {_line(error)}"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = _nearest(part, [each for each in dir(found) if not each.startswith("_")])
            raise RefusedError(f"{module_name} has no {name!r}{near}")
        found = getattr(found, part)
    return found


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


# ---------------------------------------------------------------- observations by name


def leaves_of(space: Any, name: str = "") -> Iterator[Leaf]:
    """Yield what an observation space is made of: name, shape, dtype, low and high of each part.

    Parts of parts are named by a dot, `arm.position`; a space without parts is named "". A part
    that is not of numbers has the shape None.
    """
    kind = type(space).__name__
    if kind in ("Dict", "Tuple"):
        parts = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
        for key, part in parts:
            yield from leaves_of(part, f"{name}.{key}" if name else str(key))
        return
    limits: dict[str, Any] = {}
    if hasattr(space, "low"):
        kind = "Box"
        limits = {"low": space.low, "high": space.high}
    elif kind == "Discrete":
        start = int(getattr(space, "start", 0))
        limits = {"low": np.array(start), "high": np.array(start + int(space.n) - 1)}
    elif kind == "MultiBinary":
        limits = {"low": np.zeros(space.shape, np.int8), "high": np.ones(space.shape, np.int8)}
    elif kind == "MultiDiscrete":
        first = np.asarray(getattr(space, "start", 0))
        limits = {"low": np.zeros_like(space.nvec) + first, "high": space.nvec - 1 + first}
    shape = tuple(limits["low"].shape) if limits else None
    yield {"name": name, "kind": kind, "shape": shape, **limits}


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Return the numbers of an observation by the names that `leaves_of` gives its space."""
    if isinstance(value, (dict, tuple)):
        flat: dict[str, Any] = {}
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            flat.update(flatten(part, f"{name}.{key}" if name else str(key)))
        return flat
    array = np.asarray(value)
    return {name: array} if array.dtype.name in DTYPES else {}


def plain_info(info: Any) -> dict[str, Any]:
    """Return the numbers, truth values and short texts of an `info`, at most 200 of them."""
    left = [200]

    def reduced(value: Any, depth: int) -> Any:
        if isinstance(value, dict) and depth < 4:
            parts = {str(k)[:100]: reduced(v, depth + 1) for k, v in list(value.items())[:200]}
            return {k: v for k, v in parts.items() if v is not None}
        if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
            value = value.item()
        if isinstance(value, str):
            value = value[:1000]
        if not isinstance(value, (bool, int, float, str)) or left[0] == 0:
            return None
        left[0] -= 1
        return value

    found: dict[str, Any] = reduced(dict(info), 0)
    return found


# ---------------------------------------------------------------- the process


class Simulator:
    """Answers what it is asked of one environment: each method is a question."""

    def __init__(self) -> None:
        self.env: Any = None

    def open(self, arrays: Arrays, **choices: Any) -> Answer:
        """Make the environment and describe it."""
        self.env = open_env(**choices)
        spec = getattr(self.env, "spec", None)
        rate = self.env.metadata.get("render_fps")
        observed = list(leaves_of(self.env.observation_space))
        acted = list(leaves_of(self.env.action_space))
        reply = {
            "name": getattr(spec, "id", None) or type(self.env.unwrapped).__name__,
            "observed": [[each["name"], each["kind"], each["shape"]] for each in observed],
            "acted": [[each["name"], each["kind"], each["shape"]] for each in acted],
            "render_fps": rate if isinstance(rate, (int, float)) else None,
            "max_steps": getattr(spec, "max_episode_steps", None),
        }
        numbers = [each for each in observed + acted if each["shape"] is not None]
        return reply, [each[end] for each in numbers for end in ("low", "high")]

    def reset(self, arrays: Arrays, **choices: Any) -> Answer:
        """Start an episode."""
        obs, info = self.env.reset(**choices)
        flat = flatten(obs)
        return {"obs": list(flat), "info": plain_info(info)}, list(flat.values())

    def step(self, arrays: Arrays) -> Answer:
        """Execute an action."""
        obs, reward, terminated, truncated, info = self.env.step(arrays[0])
        flat = flatten(obs)
        outcome = [float(reward), bool(terminated), bool(truncated)]
        reply = {"obs": list(flat), "outcome": outcome, "info": plain_info(info)}
        return reply, list(flat.values())

    def render(self, arrays: Arrays) -> Answer:
        """Draw a picture."""
        picture = self.env.render()
        return {}, [picture] if isinstance(picture, np.ndarray) else []

    def close(self, arrays: Arrays) -> Answer:
        """End."""
        if self.env is not None:
            self.env.close()
        return {}, []


def answer(simulator: Simulator, question: dict[str, Any], arrays: Arrays) -> bytes:
    """Return the answer to a message; what goes wrong is an answer too."""
    try:
        return pack(*getattr(simulator, question.pop("do"))(arrays, **question))
    except RefusedError as error:
        return pack({"refused": str(error)}, [])
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return pack({"failed": f"{type(error).__name__}: {_line(error)}"}, [])


def watch_parent() -> None:
    """End this process when the one that started it is gone, whatever the simulator is doing."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Answer until the pipe closes.

    The pipe's ends are moved away from the standard ones before anything is imported, so that a
    simulator's prints go where errors go and are never taken for an answer.
    """
    answers = os.dup(1)
    os.dup2(2, 1)
    questions = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[0] = str(Path.cwd())  # not this file's folder: its neighbours are no packages
    watch_parent()

    def read(size: int) -> bytes:
        data = questions.read(size)
        if len(data) < size:
            raise EOFError
        return data

    simulator = Simulator()
    try:
        while True:
            data = memoryview(answer(simulator, *unpack(read)))
            while data:
                data = data[os.write(answers, data) :]
    except (EOFError, OSError):
        os._exit(0)  # nobody asks any more; a simulator's threads are not waited for


if __name__ == "__main__":
    main()
