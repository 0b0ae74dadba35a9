"""Vectors in a column of a list's Parquet file: every cell is a list of numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import DamagedTableError, ListError
from pipelines.source.listed.npz import MAX_ARRAY_BYTES, MAX_DIMS
from pipelines.store.parquet_stream import ParquetStream

_BATCH_ROWS = 1_000
# In memory, whatever type the file has: float64 loses what unit vectors of float16 do not hold anyway.
_FLOAT = np.dtype(np.float32)


def find_dims(file: ParquetStream, column: str, where: str) -> int:
    """Return the length of the first vector of a column.

    Args:
        file: of the list.
        column: of vectors.
        where: the list, for errors.

    Raises:
        ListError: there is no such column, or it has no vector.
    """
    _check_column(file, column, where)
    for batch in file.iterate([column], _BATCH_ROWS):
        lengths = pc.list_value_length(batch[column]).drop_null()
        if len(lengths):
            dims = int(lengths[0].as_py())
            if not 1 <= dims <= MAX_DIMS:
                raise ListError(
                    f"{where}: a vector of {column!r} has {dims:,} numbers, and 1 to {MAX_DIMS:,} were "
                    "expected; name a column of vectors"
                )
            return dims
    raise ListError(f"{where} has no vector in {column!r}; name a column that has some")


def read_column(file: ParquetStream, column: str, dims: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of a column, float32 [N, D], and the length of each, int64 [N], -1 for none.

    Of another length than D a vector is zeros.

    Args:
        file: of the list.
        column: of vectors.
        dims: D.
        where: the list, for errors.

    Raises:
        ListError: there is no such column, it takes too much memory, or it is damaged.
    """
    _check_column(file, column, where)
    most = max(file.rows * dims, file.count_values(column))
    if most * _FLOAT.itemsize > MAX_ARRAY_BYTES:
        raise ListError(
            f"{where}: column {column!r} has {most:,} numbers, which take more than "
            f"{MAX_ARRAY_BYTES >> 20:,} MiB; split the file"
        )
    matrix_ND = np.zeros((file.rows, dims), _FLOAT)
    lengths_N = np.full(file.rows, -1, np.int64)
    at = 0
    try:
        for batch in file.iterate([column], _BATCH_ROWS):
            end = at + len(batch)
            lengths_N[at:end], matrix_ND[at:end] = _unpack(batch[column], dims)
            at = end
    except (DamagedTableError, pa.ArrowException, ValueError) as error:
        raise ListError(f"{where} is damaged ({' '.join(str(error).split())}); download it again") from error
    return matrix_ND, lengths_N


def _check_column(file: ParquetStream, column: str, where: str) -> None:
    names = file.schema.names
    if column not in names:
        known = ", ".join(names[:12])
        raise ListError(f"{where} has no column {column!r} of vectors; name one that it has: {known}")
    kind = file.schema.field(column).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not (is_list and pa.types.is_floating(kind.value_type)):
        raise ListError(f"{where}: column {column!r} is of {kind}; name one of lists of floating numbers")


def _unpack(cells: pa.Array, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the length of every vector of a batch, -1 for none, and the vectors."""
    found = pc.list_value_length(cells)
    lengths_n = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(cells)
    # A number that is null is none, as NaN is.
    numbers = pc.cast(flat, pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    matrix_nD = np.zeros((len(cells), dims), _FLOAT)
    fits_n = lengths_n == dims
    matrix_nD[fits_n] = numbers[np.repeat(fits_n, np.maximum(lengths_n, 0))].reshape(-1, dims)
    return lengths_n, matrix_nD
