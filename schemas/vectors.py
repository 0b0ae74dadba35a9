"""vectors/SET/NNNNN.parquet: the vectors of one shard, with the space of every column in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args

import pyarrow as pa

from schemas.space import Space

Column = Literal["clip_image", "clip_text", "clap_text", "clap_audio"]
COLUMNS: tuple[Column, ...] = get_args(Column)
Family = Literal["clip", "clap"]
Modality = Literal["image", "text", "audio"]

# Which columns the rows of a kind can have; the others are null.
COLUMNS_OF: dict[str, tuple[Column, ...]] = {
    "image": ("clip_image", "clip_text", "clap_text"),
    "clip": ("clip_image", "clip_text", "clap_text", "clap_audio"),
    "text": ("clip_text", "clap_text"),
}

_SPACES = b"spaces"


def family_of(column: Column) -> Family:
    """Return whose space a column is in: `clip` or `clap`."""
    return "clip" if column.startswith("clip") else "clap"


def modality_of(column: Column) -> Modality:
    """Return what the vectors of a column are made from."""
    modalities: dict[Column, Modality] = {"clip_image": "image", "clap_audio": "audio"}
    return modalities.get(column, "text")


def vectors_schema(spaces: Mapping[Column, Space]) -> pa.Schema:
    """Return the table for these columns: float16 unit vectors, and a norm beside each.

    The norm is the raw vector's length as it left the net. Where a vector stands for several pieces (the
    four frames of a clip, the windows of a long sound) it is the length of the mean of their unit vectors:
    1 where they agree.

    Args:
        spaces: the space of every column that the set has.
    """
    fields = [
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
    for column in COLUMNS:
        if column in spaces:
            fields.append(pa.field(column, pa.list_(pa.float16(), spaces[column].dims)))
            fields.append(pa.field(f"{column}_norm", pa.float32()))
    written = {column: spaces[column].model_dump() for column in COLUMNS if column in spaces}
    return pa.schema(
        fields,
        metadata={"table": "vectors/1", _SPACES: json.dumps(written, sort_keys=True).encode()},
    )


def spaces_of(schema: pa.Schema) -> dict[Column, Space]:
    """Return the space of every vector column; empty if the table is not one of vectors."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    written = json.loads(metadata.get(_SPACES, b"{}"))
    return {column: Space.model_validate(written[column]) for column in COLUMNS if column in written}
