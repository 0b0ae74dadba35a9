"""versions/NNNN.json and NNNN.parquet: which shards, tombstones and indices are the dataset at one time."""

from __future__ import annotations

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field


class FileEntry(BaseModel):
    """One file that a version names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="below the root")
    bytes: int
    sha256: str


class Version(BaseModel):
    """The manifest: small, immutable, created exclusively; the highest number is current."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    name: str
    set: str
    created: str = Field(description="UTC, ISO 8601")
    shards: int
    rows_read: int
    rejects: int
    duplicates: int
    candidates: int
    outcomes: dict[str, int] = Field(description="status -> count; adds up to candidates")
    reasons: dict[str, int] = Field(description="status/reason -> count")
    vectors: dict[str, int] = Field(description="column -> vectors in it")
    tables: list[FileEntry] = Field(description="NNNN.parquet, tombstones")
    indices: list[FileEntry]


# One line a shard, in NNNN.parquet.
VERSION_SHARD = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ],
    metadata={"table": "version_shard/1"},
)

# Keys that no reader may see any more, and why.
TOMBSTONE = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("same_as", pa.string()),  # the key that stays, of a duplicate
    ],
    metadata={"table": "tombstone/1"},
)
