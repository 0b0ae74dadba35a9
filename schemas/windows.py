"""vectors/SET/NNNNN.windows.parquet: the vectors of all windows of the sounds of a shard of clips.

A sound that is longer than its encoder's window is embedded in several; the vectors' table has their mean. A
set that says `encode.windows: true` keeps them all, of its first column of sounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa

from schemas.families import Column, check_column, get_modality, sort_columns
from schemas.space import Space

# Seconds from the start of the clip; null where the encoder does not say where its windows lie.
START = pa.field("start_s", pa.float32())
VECTOR = "vector"
_KEY = pa.field("key", pa.string(), nullable=False)
_WINDOWS = b"windows"


def make_windows_schema(column: Column, space: Space) -> pa.Schema:
    """Return the table of the windows of a column: float16 unit vectors, in the order of keys and times.

    Args:
        column: that has their means.
        space: of the vectors.
    """
    written = json.dumps({column: space.model_dump()}, sort_keys=True).encode()
    vector = pa.field(VECTOR, pa.list_(pa.float16(), space.dims), nullable=False)
    return pa.schema([_KEY, START, vector], metadata={b"table": b"windows/1", _WINDOWS: written})


def decode_windows(schema: pa.Schema) -> tuple[Column, Space] | None:
    """Return the column that has the means of a table's windows, and their space; None of other tables.

    Raises:
        ValueError: it names no column, or several.
    """
    metadata: dict[bytes, bytes] = schema.metadata or {}
    if _WINDOWS not in metadata:
        return None
    ((column, space),) = json.loads(metadata[_WINDOWS]).items()
    return check_column(column), Space.model_validate(space)


def find_windowed(columns: Iterable[Column]) -> Column | None:
    """Return the column whose windows a set can keep: its first one of sounds; None if it has none."""
    return next((column for column in sort_columns(columns) if get_modality(column) == "audio"), None)
