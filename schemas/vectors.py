"""vectors/SET/NNNNN.parquet: the vectors of one shard, with the space of every column in the metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa

from schemas.families import Column, is_column, sort_columns
from schemas.segment import WHOLE, Segment
from schemas.space import Space

# Of a clip whose vectors stand for a part of it, in sets that ask for one: `clap_audio` is then of the sound
# from `segment_start_s` on, `clip_image` of one frame. The scores are cosines to the caption's vectors, null
# where nothing was compared; float16, because more digits would differ from machine to machine.
CHOICE = pa.schema(
    [
        pa.field("segment_start_s", pa.float32()),
        pa.field("segment_score", pa.float16()),
        pa.field("frame", pa.int8()),  # 0 to 3, as the members of the clip are numbered
        pa.field("frame_score", pa.float16()),
    ]
)

# Beside them, of segments that prompts or a classifier select, whose length differs: the score is then the
# share of the prompts among all that may be heard, or the probability of a class; a clip below the threshold
# keeps it. `frame_s` is when the frame is shown, in seconds of the clip.
PROMPTED_CHOICE = pa.schema([pa.field("segment_length_s", pa.float32()), pa.field("frame_s", pa.float32())])

_SPACES = b"spaces"
_SEGMENT = b"segment"
_SMALLER = b"smaller_batches"


def make_vectors_schema(spaces: Mapping[Column, Space], segment: Segment = WHOLE) -> pa.Schema:
    """Return the table for these columns: float16 unit vectors, and a norm beside each.

    The norm is the raw vector's length as it left the net. Where a vector stands for several pieces (the
    four frames of a clip, the windows of a long sound) it is the length of the mean of their unit vectors:
    1 where they agree.

    Args:
        spaces: the space of every column that the set has.
        segment: which part of a clip its vectors stand for.
    """
    fields = [
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
    for column in sort_columns(spaces):
        fields.append(pa.field(column, pa.list_(pa.float16(), spaces[column].dims)))
        fields.append(pa.field(f"{column}_norm", pa.float32()))
    metadata = encode_spaces(spaces) | {b"table": b"vectors/1"}
    if decided := segment.get_pinned():
        fields += [*CHOICE, *(PROMPTED_CHOICE if segment.is_prompted else ())]
        metadata[_SEGMENT] = json.dumps(decided, sort_keys=True).encode()
    return pa.schema(fields, metadata=metadata)


def encode_spaces(spaces: Mapping[Column, Space]) -> dict[bytes, bytes]:
    """Return what a table's metadata says of the space of every vector column."""
    written = {column: spaces[column].model_dump() for column in sort_columns(spaces)}
    return {_SPACES: json.dumps(written, sort_keys=True).encode()}


def decode_spaces(schema: pa.Schema) -> dict[Column, Space]:
    """Return the space of every vector column; empty if the table is not one of vectors."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    written = json.loads(metadata.get(_SPACES, b"{}"))
    return {column: Space.model_validate(written[column]) for column in _find_columns(written)}


def decode_segment(schema: pa.Schema) -> Segment:
    """Return which part of a clip the vectors of a table stand for."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    return Segment(**json.loads(metadata.get(_SEGMENT, b"{}")))


def mark_smaller_batches(schema: pa.Schema, smaller: Mapping[Column, int]) -> pa.Schema:
    """Return a table's schema that says which columns hold vectors of smaller batches than their space's.

    A GPU had no room for more. Their last float16 digit may differ from what a full batch would have given;
    for a search that is nothing, and a build that is compared bit by bit can tell why.

    Args:
        schema: of a table of vectors.
        smaller: column -> the smallest batch; where it is empty the schema stays as it is.
    """
    if not smaller:
        return schema
    metadata: dict[bytes, bytes] = schema.metadata or {}
    return schema.with_metadata(metadata | {_SMALLER: json.dumps(smaller, sort_keys=True).encode()})


def decode_smaller_batches(schema: pa.Schema) -> dict[Column, int]:
    """Return column -> the smallest batch that made its vectors, where a GPU had no room for its space's."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    written = json.loads(metadata.get(_SMALLER, b"{}"))
    return {column: int(written[column]) for column in _find_columns(written)}


def _find_columns(written: Iterable[str]) -> tuple[Column, ...]:
    return sort_columns(name for name in written if is_column(name))
