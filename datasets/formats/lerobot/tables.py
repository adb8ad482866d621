"""Columns of parquet files as numpy arrays, in pieces, checked on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from .guard import needed, reading

READ_BYTES = 1 << 20


@contextmanager
def open_table(path: Path) -> Iterator[Any]:
    """Open a parquet file (`pyarrow.parquet.ParquetFile`) to read page by page.

    Raises:
        DatasetError: It is damaged, or pyarrow is not installed.
    """
    parquet = needed("pyarrow.parquet")
    # Without these two, a whole row group (an episode of pictures, say) is read at once.
    with reading(path):
        table = parquet.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES)
    with table:
        yield table


def batches(
    path: Path, table: Any, columns: Sequence[str], n_rows: int
) -> Iterator[dict[str, Any]]:
    """Yield {column: arrow array} of at most `n_rows` rows, in order.

    Raises:
        DatasetError: The file is damaged.
    """
    with reading(path):
        found = table.iter_batches(batch_size=n_rows, columns=list(columns), use_threads=False)
    while True:
        with reading(path):
            batch = next(found, None)
            rows = {name: batch.column(name) for name in columns} if batch is not None else {}
        if batch is None:
            return
        if batch.num_rows:
            yield rows


def schema_of(path: Path, table: Any) -> dict[str, Any]:
    """Return {column: arrow type} of a parquet file."""
    with reading(path):
        schema = table.schema_arrow
        if len(set(schema.names)) != len(schema.names):
            raise DatasetError(f"{path} holds two columns of one name; write it anew")
        return {name: schema.field(name).type for name in schema.names}


def number_dtype(path: Path, column: str, kind: Any) -> np.dtype[Any]:
    """Return the dtype of the numbers in a column, below whatever lists.

    Raises:
        DatasetError: It holds something else.
    """
    types = needed("pyarrow").types
    kind = _storage(kind)
    while _is_list(types, kind):
        kind = _storage(kind.value_type)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise DatasetError(f"{path}: column {column!r} holds {kind}, not numbers; leave it out")
    dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return dtype


def check_sizes(path: Path, table: Any, columns: Mapping[str, int]) -> int:
    """Return the number of rows; hold each column to so many numbers a row.

    The footer tells both, so that a file which does not fit is refused before it is read.

    Raises:
        DatasetError: A column is absent or holds more or fewer numbers.
    """
    with reading(path):
        footer = table.metadata
        n_rows = int(footer.num_rows)
        counts: dict[str, int] = {}
        for group in range(footer.num_row_groups):
            for leaf in range(footer.num_columns):
                part = footer.row_group(group).column(leaf)
                name = str(part.path_in_schema).partition(".list.")[0]
                counts[name] = counts.get(name, 0) + int(part.num_values)

    for column, per_row in columns.items():
        if column not in counts:
            raise DatasetError(f"{path} has no column {column!r}; copy or download it again")
        if counts[column] != n_rows * per_row:
            raise DatasetError(
                f"{path}: column {column!r} holds {counts[column]} numbers in {n_rows} rows, "
                f"where {per_row} a row are declared; correct meta/info.json or the file"
            )
    return n_rows


def to_numpy(path: Path, column: str, array: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a column of numbers, or of lists of them, as [n, *shape].

    Raises:
        DatasetError: A value is missing, or a list has another length than `shape` says.
    """
    types = needed("pyarrow").types
    with reading(path):
        values = _plain(array)
        depth = 0
        while _is_list(types, values.type):
            if depth == len(shape) or not _all_of_length(types, values, shape[depth]):
                raise _misshapen(path, column, shape)
            values = _plain(values.flatten())
            depth += 1

        # A single number may stand without a list around it.
        if math.prod(shape[depth:]) != 1:
            raise _misshapen(path, column, shape)
        if values.null_count:
            raise DatasetError(f"{path}: column {column!r} lacks values; repair the recording")
        flat: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        return flat.reshape(len(array), *shape)


def _plain(array: Any) -> Any:
    """Return an array without the name that an extension gives it, and without a dictionary."""
    array = getattr(array, "storage", array)
    return array.dictionary_decode() if hasattr(array, "dictionary_decode") else array


def _storage(kind: Any) -> Any:
    kind = getattr(kind, "storage_type", kind)
    return getattr(kind, "value_type", kind) if hasattr(kind, "index_type") else kind


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _all_of_length(types: Any, values: Any, length: int) -> bool:
    if values.null_count:
        return False
    if types.is_fixed_size_list(values.type):
        return bool(values.type.list_size == length)
    return bool((values.value_lengths().to_numpy(zero_copy_only=False) == length).all())


def _misshapen(path: Path, column: str, shape: tuple[int, ...]) -> DatasetError:
    return DatasetError(
        f"{path}: column {column!r} does not hold {shape} a row as meta/info.json declares; "
        "correct one of them"
    )
