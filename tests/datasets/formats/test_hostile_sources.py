"""Sources that mean harm are refused in one line: little memory, no code, nothing outside."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data

#: What a refusal may allocate. The bombs below would take between 64 MB and petabytes.
MEMORY = 16 << 20
BOMB = bytes(64 << 20)
CHUNK = "data/action/0.0"

Edit = Callable[[Path], None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A sound source of two keys, 20 steps, one chunk each, not packed."""
    folder = tmp_path / "source.zarr"
    write_array(folder / "data" / "action", np.ones((20, 2)))
    write_array(folder / "data" / "state", np.ones((20, 3)))
    write_array(folder / "meta" / "episode_ends", np.array([8, 20]))
    return folder


def write_array(folder: Path, values: np.ndarray[Any, Any], **description: Any) -> None:
    folder.mkdir(parents=True)
    stated = {
        "zarr_format": 2,
        "shape": list(values.shape),
        "chunks": list(values.shape),
        "dtype": values.dtype.str,
        "compressor": None,
        "filters": None,
        "fill_value": 0,
        "order": "C",
    }
    (folder / ".zarray").write_text(json.dumps({**stated, **description}))
    (folder / ".".join("0" * values.ndim)).write_bytes(values.tobytes())


def describe(source: Path, array: str, **changes: Any) -> None:
    file = source / array / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def zipped(source: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = source.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(source.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(source).as_posix())
    return path


def refused(source: Path, fault: str) -> None:
    """Hold the import to one line, little memory and an empty destination."""
    out = source.parent / "out" / "ours.zarr"
    out.parent.mkdir()
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=fault) as caught:
            import_data(source, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < MEMORY
    assert list(out.parent.iterdir()) == []


def test_the_sound_source_is_taken_as_a_folder_and_as_a_zip(source: Path, tmp_path: Path) -> None:
    assert import_data(source, tmp_path / "a").n_steps == 20
    assert import_data(zipped(source), tmp_path / "b").n_steps == 20


@pytest.mark.parametrize(
    ("array", "changes", "fault"),
    [
        ("data/action", {"chunks": [10**9, 2]}, "declares chunks of 15258 MiB"),
        ("data/action", {"chunks": [20, 10**9]}, "declares chunks of"),
        ("data/action", {"chunks": [10**12, 10**12]}, "declares chunks of"),
        ("data/action", {"shape": [20, 10**12], "chunks": [20, 1]}, "declares chunks of"),
        ("data/action", {"shape": [10**15, 2], "chunks": [1, 2]}, "data/action/1.0 is missing"),
        ("data/action", {"shape": [20, 10**6], "chunks": [1, 1]}, "data/action/0.1 is missing"),
        ("data/action", {"shape": [20, 0]}, "holds no number in a step"),
        ("data/action", {"shape": [-20, 2]}, "no zarr 2 array.*-20 is no size"),
        ("data/action", {"shape": [20.5, 2]}, "no zarr 2 array"),
        ("data/action", {"shape": "ab"}, "no zarr 2 array"),
        ("data/action", {"shape": 20}, "no zarr 2 array"),
        ("data/action", {"chunks": [0, 2]}, "no zarr 2 array"),
        ("data/action", {"chunks": [20]}, "no zarr 2 array"),
        ("data/action", {"shape": [], "chunks": []}, "no zarr 2 array"),
        ("data/action", {"shape": [20] * 40, "chunks": [1] * 40}, "no zarr 2 array"),
        ("data/action", {"shape": [19, 2]}, "has 19 steps, the episodes end at 20"),
        ("data/action", {"dtype": "|O"}, r"holds '\|O', not numbers"),
        ("data/action", {"dtype": "|S8"}, "not numbers"),
        ("data/action", {"dtype": "<c16"}, "not numbers"),
        ("data/action", {"dtype": "<f16"}, "not numbers of up to 8 bytes"),
        ("data/action", {"dtype": [["a", "<f8"], ["b", "|O"]]}, "no zarr 2 array"),
        ("data/action", {"dtype": "(1000000,1000000)f8"}, "not numbers|no zarr 2 array"),
        ("data/action", {"dtype": None}, "no zarr 2 array"),
        ("data/action", {"dtype": "float99"}, "no zarr 2 array"),
        ("data/action", {"dtype": "<f4"}, "holds 320 bytes where 160 are declared"),
        ("data/action", {"fill_value": {"a": 1}}, "no zarr 2 array"),
        ("data/action", {"filters": [{"id": "pickle"}]}, "packed with 'pickle'"),
        ("data/action", {"filters": [{"id": "gzip"}]}, "packed with 'gzip'"),
        ("data/action", {"filters": ["gzip"]}, "packed with 'gzip'"),
        ("data/action", {"filters": [{"id": "delta", "dtype": "|O"}]}, "cannot be decoded.*delta"),
        ("data/action", {"compressor": {"id": "json2"}}, "packed with 'json2'"),
        ("data/action", {"compressor": {"id": "vlen-utf8"}}, "packed with 'vlen-utf8'"),
        ("data/action", {"compressor": "gzip"}, "packed with 'gzip'"),
        ("data/action", {"compressor": {"id": ["a"]}}, "packed with"),
        ("meta/episode_ends", {"dtype": "<f8"}, "not a list of whole numbers"),
        ("meta/episode_ends", {"shape": [1, 2], "chunks": [1, 2]}, "not a list of whole numbers"),
        ("meta/episode_ends", {"shape": [10**13], "chunks": [2]}, "episode_ends/1 is missing"),
        ("meta/episode_ends", {"shape": [10**13], "chunks": [10**13]}, "declares chunks of"),
        ("meta/episode_ends", {"shape": [0]}, "empty or does not grow"),
    ],
    ids=str,
)
def test_a_description_that_lies_is_refused_before_anything_is_allocated(
    source: Path, array: str, changes: dict[str, Any], fault: str
) -> None:
    describe(source, array, **changes)
    refused(source, fault)


def _zstd_of_unknown_size(content: bytes) -> bytes:
    """A zstd frame of runs of zeros without its plain size in the header (RFC 8878)."""
    block = 128 << 10
    count = len(content) // block
    header = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0x58])
    runs = [((block << 3) | 0b010 | (number == count - 1)) for number in range(count)]
    return header + b"".join(run.to_bytes(3, "little") + b"\x00" for run in runs)


def _lying_blosc(content: bytes) -> bytes:
    packed = bytearray(numcodecs.Blosc().encode(content))
    packed[4:8] = (320).to_bytes(4, "little")
    return bytes(packed)


def _lying_lz4(content: bytes) -> bytes:
    return (320).to_bytes(4, "little") + bytes(numcodecs.LZ4().encode(content))[4:]


@pytest.mark.parametrize(
    ("codec", "pack"),
    [
        ("gzip", gzip.compress),
        ("zlib", numcodecs.Zlib().encode),
        ("bz2", partial(bz2.compress, compresslevel=1)),
        ("lzma", partial(lzma.compress, preset=0)),
        ("zstd", numcodecs.Zstd().encode),
        ("zstd", _zstd_of_unknown_size),
        ("lz4", numcodecs.LZ4().encode),
        ("lz4", _lying_lz4),
        ("blosc", numcodecs.Blosc().encode),
        ("blosc", _lying_blosc),
        (None, bytes),
    ],
)
def test_a_chunk_that_unpacks_to_gigabytes_is_never_unpacked(
    source: Path, codec: str | None, pack: Callable[[bytes], bytes]
) -> None:
    describe(source, "data/action", compressor=codec and {"id": codec})
    (source / CHUNK).write_bytes(bytes(pack(BOMB)))
    refused(source, "cannot be decoded|longer than")


@pytest.mark.parametrize("codec", ["gzip", "zlib", "bz2", "lzma", "zstd", "lz4", "blosc"])
@pytest.mark.parametrize("content", [b"", b"\x00", b"spoiled" * 9, bytes(range(256))])
def test_a_spoiled_chunk_of_any_codec_is_refused(source: Path, codec: str, content: bytes) -> None:
    describe(source, "data/action", compressor={"id": codec})
    (source / CHUNK).write_bytes(content)
    refused(source, r"'action' cannot be decoded: chunk file data/action/0\.0")


def test_a_delta_that_swells_is_refused(source: Path) -> None:
    delta = {"id": "delta", "dtype": "<f8", "astype": "|i1"}
    describe(source, "data/action", filters=[delta])
    (source / CHUNK).write_bytes(bytes(60_000))
    refused(source, "cannot be decoded")


def test_many_keys_together_may_not_take_more_than_one(source: Path) -> None:
    for number in range(9):
        name = f"key{number}"
        write_array(source / "data" / name, np.zeros((20, 3)))
        describe(source, f"data/{name}", chunks=[1 << 22, 3])
    refused(source, "11 keys side by side takes 864 MiB")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[" * 100_000, "is no JSON"),
        ('{"a":' * 100_000, "is no JSON"),
        ("[1, 2]", "holds no object"),
        ("{", "is no JSON"),
        ("\x00\xff", "is no JSON"),
        (" " * (2 << 20), "longer than"),
        ('{"shape": [1' + "0" * 5000 + "]}", "no JSON|no zarr 2 array"),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("place", ["data/action/.zarray", "data/.zattrs"])
def test_a_json_file_that_is_none_is_refused(
    source: Path, text: str, fault: str, place: str
) -> None:
    if "shape" in text and "zattrs" in place:
        fault = "no JSON"
    (source / place).write_text(text, encoding="latin-1")
    refused(source, fault)


def test_a_link_out_of_the_source_is_not_followed(source: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.full((20, 2), 7.0).tobytes())
    (source / CHUNK).unlink()
    (source / CHUNK).symlink_to(secret)
    refused(source, "is a link out of the source")


def test_a_link_within_the_source_is_followed(source: Path, tmp_path: Path) -> None:
    (source / "elsewhere").mkdir()
    shutil.move(source / CHUNK, source / "elsewhere" / "chunk")
    (source / CHUNK).symlink_to(source / "elsewhere" / "chunk")
    assert import_data(source, tmp_path / "ours").n_steps == 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang_the_import(source: Path) -> None:
    (source / CHUNK).unlink()
    os.mkfifo(source / CHUNK)
    refused(source, "no plain file")


@pytest.mark.parametrize("name", ["..", "../../../escape", "a\\b", ".hidden", "new\nline"])
def test_a_key_that_leads_elsewhere_is_refused(source: Path, name: str) -> None:
    path = zipped(source)
    with zipfile.ZipFile(path, "a") as archive:
        for file in (".zarray", "0.0"):
            archive.writestr(f"data/{name}/{file}", (source / "data/action" / file).read_bytes())
    refused(path, "cannot name a folder")


def test_entries_outside_of_the_data_set_are_never_written(source: Path, tmp_path: Path) -> None:
    path = zipped(source)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil.txt", "x")
        archive.writestr("/tmp/evil.txt", "x")
        link = zipfile.ZipInfo("data/action/1.0")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before = {file.name for file in tmp_path.iterdir()}
    assert import_data(path, tmp_path / "ours").n_steps == 20
    assert {file.name for file in tmp_path.iterdir()} - before == {"ours"}


@pytest.mark.parametrize("name", [CHUNK, "data/action/.zarray", "meta/episode_ends/0"])
def test_a_zip_bomb_is_not_unpacked(source: Path, name: str) -> None:
    (source / name).unlink()
    path = zipped(source)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, BOMB)
    assert path.stat().st_size < 1 << 20
    refused(path, "longer than")


def test_a_zip_that_lies_about_a_size_is_refused(source: Path) -> None:
    (source / CHUNK).write_bytes(BOMB)
    path = zipped(source)
    content = path.read_bytes()
    path.write_bytes(content.replace(len(BOMB).to_bytes(4, "little"), (320).to_bytes(4, "little")))
    refused(path, "damaged")


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_zip_is_refused(source: Path, kept: float) -> None:
    path = zipped(source)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    refused(path, "not a whole .zip; download it again")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_packed_strangely_is_refused(source: Path, method: int) -> None:
    refused(zipped(source, method), "packed strangely")


def test_an_encrypted_zip_is_refused(source: Path) -> None:
    path = zipped(source, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    begin = 0
    while (begin := content.find(b"PK\x01\x02", begin)) >= 0:
        content[begin + 8] |= 1
        begin += 4
    path.write_bytes(bytes(content))
    refused(path, "encrypted")


def test_a_zip_in_a_zip_and_an_empty_one_are_refused(source: Path, tmp_path: Path) -> None:
    inner = zipped(source)
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(nested, "w") as archive:
        archive.write(inner, "inner.zip")
    refused(nested, "is of no format that is read here")
    (tmp_path / "out").rmdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    refused(tmp_path / "empty.zip", "is of no format that is read here")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(source: Path, value: float) -> None:
    (source / CHUNK).write_bytes(np.full((20, 2), value).tobytes())
    refused(source, "'action' holds (nan|inf) at step 0")
