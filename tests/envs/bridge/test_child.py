"""The wire and the file that stands alone."""

from __future__ import annotations

import ast
import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from kinoise.envs.bridge import child

ARRAYS = st.lists(
    st.sampled_from(sorted(child.DTYPES)).flatmap(
        lambda name: npst.arrays(name, npst.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def unpack(data: bytes) -> Any:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        assert size <= max(8, len(data)), "asked for more than there can be"
        part = stream.read(size)
        if len(part) < size:
            raise EOFError
        return part

    return child.unpack(read)


def message(header: Any, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return child.MAGIC + struct.pack("<I", len(text)) + text + payload


@settings(max_examples=50)
@given(header=st.dictionaries(st.text().filter("arrays".__ne__), JSON), arrays=ARRAYS)
def test_what_is_packed_comes_out_bit_for_bit(header: Any, arrays: Any) -> None:
    got, values = unpack(child.pack(header, arrays))
    assert got == header
    assert [each.tobytes() for each in values] == [each.tobytes() for each in arrays]
    assert [(e.dtype, e.shape) for e in values] == [(e.dtype, e.shape) for e in arrays]
    assert all(each.flags.writeable for each in values)


def test_numbers_that_are_no_json_cross() -> None:
    got, _ = unpack(child.pack({"info": [float("nan"), float("inf"), 0.1]}, []))
    assert np.isnan(got["info"][0])
    assert got["info"][1:] == [float("inf"), 0.1]


@given(st.binary(max_size=200))
def test_garbage_is_no_message(data: bytes) -> None:
    with pytest.raises((child.WireError, EOFError)):
        unpack(data)


@given(st.binary(max_size=200))
def test_garbage_behind_the_magic_is_no_message(data: bytes) -> None:
    with pytest.raises((child.WireError, EOFError)):
        unpack(child.MAGIC + struct.pack("<I", len(data)) + b"\xff" + data)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"arrays": 3},
        {"arrays": [3]},
        {"arrays": [["float32", 3]]},
        {"arrays": [["object", [1]]]},
        {"arrays": [["O", [1]]]},
        {"arrays": [["float32,object", [1]]]},
        {"arrays": [[["float32"], [1]]]},
        {"arrays": [["float32", [-1]]]},
        {"arrays": [["float32", [1.5]]]},
        {"arrays": [["float32", [2**40]]]},
        {"arrays": [["float64", [2**20, 2**20]]]},
        {"arrays": [["uint8", [2**27]]] * 3},
        {"arrays": [["uint8", [1] * 100]]},
    ],
)
def test_a_header_that_asks_for_what_is_not_allowed_is_refused_unread(header: Any) -> None:
    with pytest.raises(child.WireError):
        unpack(message(header))


def test_a_huge_header_is_refused_unread() -> None:
    with pytest.raises(child.WireError, match="4294967295 bytes"):
        unpack(child.MAGIC + b"\xff\xff\xff\xff")
    with pytest.raises(child.WireError, match="is the most"):
        child.pack({"text": "x" * child.MAX_HEADER}, [])


def test_a_deeply_nested_header_is_refused() -> None:
    text = b"[" * 100_000
    with pytest.raises(child.WireError):
        unpack(child.MAGIC + struct.pack("<I", len(text)) + text)


def test_of_an_info_the_plain_entries_cross_and_are_few() -> None:
    info = {"a": np.float32(2), "b": [1], "c": {"d": True}, "e": object(), 3: "x", "f": np.ones(2)}
    assert child.plain_info(info) == {"a": 2.0, "c": {"d": True}, "3": "x"}
    many = {str(n): n for n in range(1000)}
    assert len(child.plain_info(many)) == 200
    loop: dict[str, Any] = {}
    loop["self"] = loop
    assert child.plain_info(loop) is not None


def test_the_file_stands_alone_and_is_understood_by_an_old_python() -> None:
    tree = ast.parse(Path(child.__file__).read_text("utf-8"), feature_version=(3, 8))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module).partition(".")[0])
    assert names <= {*sys.stdlib_module_names, "numpy", "gymnasium"}
