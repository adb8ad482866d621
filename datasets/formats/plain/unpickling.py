"""Read pickles of plain data without the machinery that runs code.

A pickle is a program. This reads its instructions with the standard library's disassembler and
carries out those that build numbers, text, lists, tuples, dicts and numpy arrays. Anything that
would call something else is refused by the name of what it asked for; no module is imported.
Memory and time stay linear in the size of the file.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError

PICKLE_BYTES = 1 << 30
PLAIN_DTYPE = re.compile(r"[|<>=]?(?:[biuf?]\d{0,2}|[SU]\d{0,9}|O\d?)")
MARK = object()


class UnsafePickleError(Exception):
    """A pickle asks for more than plain data."""


class _Name:
    """Something that a pickle names, such as `numpy.ndarray`; never the thing itself."""

    def __init__(self, module: str, name: str) -> None:
        # numpy moved: numpy.core (1.x) is numpy._core (2.x).
        self.path = f"{module.replace('numpy._core', 'numpy.core')}.{name}"


class _Hollow:
    """An array or dtype between being made and being filled."""

    def __init__(self, fill: Callable[[Any], Any]) -> None:
        self.fill = fill
        self.value: Any = None


def load_plain(path: Path) -> Any:
    """Return what a pickle file holds, when it is plain data.

    Raises:
        DatasetError: It asks for anything else, is damaged, or is too large to be held.
    """
    size = path.stat().st_size
    if size > PICKLE_BYTES:
        raise DatasetError(
            f"{path} holds {size >> 20} MiB, and a pickle must be read whole: at most "
            f"{PICKLE_BYTES >> 20} are; save the episodes one a file, or as NPZ"
        )
    if not size:
        raise DatasetError(f"{path} is empty; copy it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return _run(content)
        except UnsafePickleError as error:
            raise DatasetError(
                f"{path} asks for {error}, which is no plain data, and loading it may run code; "
                "save lists and dicts of numpy arrays, or NPZ"
            ) from error
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
            raise DatasetError(
                f"{path} is no sound pickle ({type(error).__name__}: {str(error)[:100]}); copy it "
                "again"
            ) from error
        except (AttributeError, UnicodeError, RecursionError, AssertionError) as error:
            raise DatasetError(
                f"{path} is no sound pickle ({type(error).__name__}); copy it again"
            ) from error


def _run(content: Any) -> Any:
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "STOP":
            return machine.finish()
        machine.step(opcode.name, argument)
    raise ValueError("it has no end")


class _Machine:
    """The stack and the memo of a pickle, and the instructions that are carried out."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._memo[int(argument)])
        elif name == "GLOBAL":
            module, _, rest = argument.partition(" ")
            self._stack.append(_named(module, rest))
        elif name not in _IGNORED:
            action = getattr(self, f"_{name.lower()}", None)
            if action is None:
                raise UnsafePickleError(f"the instruction {name}")
            action()

    def finish(self) -> Any:
        """Return the finished value."""
        return _value(self._stack.pop())

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _pop(self) -> None:
        self._stack.pop()

    def _pop_mark(self) -> None:
        self._marked()

    def _dup(self) -> None:
        self._stack.append(self._stack[-1])

    def _marked(self) -> list[Any]:
        """Take everything down to the last mark off the stack."""
        items = []
        while (item := self._stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def _append(self) -> None:
        item = self._stack.pop()
        _checked(self._stack[-1], list).append(_value(item))

    def _appends(self) -> None:
        items = self._marked()
        _checked(self._stack[-1], list).extend(_value(item) for item in items)

    def _list(self) -> None:
        self._stack.append([_value(item) for item in self._marked()])

    def _tuple(self) -> None:
        self._stack.append(tuple(_value(item) for item in self._marked()))

    def _tuple1(self) -> None:
        self._collect(1)

    def _tuple2(self) -> None:
        self._collect(2)

    def _tuple3(self) -> None:
        self._collect(3)

    def _collect(self, count: int) -> None:
        items = tuple(_value(self._stack.pop()) for _ in range(count))
        self._stack.append(items[::-1])

    def _dict(self) -> None:
        items = self._marked()
        self._stack.append(dict(zip(items[::2], map(_value, items[1::2]), strict=True)))

    def _setitem(self) -> None:
        value = self._stack.pop()
        key = self._stack.pop()
        _checked(self._stack[-1], dict)[key] = _value(value)

    def _setitems(self) -> None:
        items = self._marked()
        pairs = zip(items[::2], map(_value, items[1::2]), strict=True)
        _checked(self._stack[-1], dict).update(pairs)

    def _stack_global(self) -> None:
        name = self._stack.pop()
        module = self._stack.pop()
        self._stack.append(_named(module, name))

    def _reduce(self) -> None:
        arguments = _checked(self._stack.pop(), tuple)
        called = self._stack.pop()
        if not isinstance(called, _Name) or called.path not in _CALLS:
            raise UnsafePickleError(getattr(called, "path", type(called).__name__))
        self._stack.append(_CALLS[called.path](*arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        hollow = _checked(self._stack[-1], _Hollow)
        hollow.value = hollow.fill(_value(state))


def _named(module: Any, name: Any) -> _Name:
    found = _Name(str(module), str(name))
    if found.path not in _KNOWN:
        raise UnsafePickleError(f"{module}.{name}"[:200])
    return found


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{type(value).__name__} stands where {kind.__name__} belongs")
    return value


def _value(item: Any) -> Any:
    """Return what a hollow was filled with, everything else as it is."""
    if isinstance(item, _Hollow):
        if item.value is None:
            raise ValueError("an array is used before it is filled")
        return item.value
    if item is MARK:
        raise ValueError("a mark stands where a value belongs")
    return item


def _dtype(code: Any, *_: Any) -> _Hollow:
    """Make a dtype such as 'f8'; its state tells the byte order."""
    if isinstance(code, bytes):
        code = code.decode("ascii")
    if not isinstance(code, str) or not PLAIN_DTYPE.fullmatch(code):
        raise UnsafePickleError(f"the dtype {code!r}"[:100])
    made = np.dtype(code)

    def fill(state: Any) -> np.dtype[Any]:
        order: Any = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in "<>|=" or any(state[position] for position in (2, 3, 4)):
            raise UnsafePickleError("a dtype with fields")
        return made if order == "|" else made.newbyteorder(order)

    hollow = _Hollow(fill)
    hollow.value = made
    return hollow


def _reconstruct(kind: Any, *_: Any) -> _Hollow:
    if not isinstance(kind, _Name) or kind.path != "numpy.ndarray":
        raise UnsafePickleError(getattr(kind, "path", "an array of an unknown class"))

    def fill(state: Any) -> Any:
        _, shape, dtype, fortran, content = state
        return _array(content, dtype, shape, "F" if fortran else "C")

    return _Hollow(fill)


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Any:
    return _array(content, dtype, shape, order)


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """Return an array of plain numbers or text; one of objects as the list of them."""
    dtype = _checked_dtype(dtype)
    shape = tuple(int(size) for size in _checked(shape, tuple))
    if dtype.hasobject:
        items = _checked(content, list)
        if len(shape) != 1 or len(items) != shape[0]:
            raise UnsafePickleError("an array of objects")
        return items
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(content, bytes | bytearray) or min(shape, default=0) < 0:
        raise ValueError("an array holds no bytes")
    if len(content) != dtype.itemsize * math.prod(shape):
        raise ValueError("an array declares another size than it holds")
    if not content:
        return np.empty(shape, dtype=dtype)
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any = None) -> Any:
    if content is None:
        raise ValueError("a number holds no bytes")
    return _array(content, dtype, (), "C")[()]


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    dtype = _value(dtype)
    if not isinstance(dtype, np.dtype):
        raise ValueError("no dtype stands where one belongs")
    return dtype


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise UnsafePickleError("_codecs.encode")
    return text.encode(encoding)


def _bytearray(content: Any = b"") -> bytes:
    return bytes(_checked(content, bytes))


_LITERALS = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "MARK": lambda: MARK,
}
_IGNORED = frozenset(("PROTO", "FRAME"))
_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytearray,
    "__builtin__.bytearray": _bytearray,
    "collections.OrderedDict": dict,
}
_KNOWN = frozenset((*_CALLS, "numpy.ndarray"))
