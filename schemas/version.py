"""versions/NNNN.json and NNNN.parquet: the shards, tombstones and indices of the dataset at one time."""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from schemas.encoders import Name
from schemas.names import RelativePath, Sha256
from schemas.strict import StrictModel
from schemas.times import IsoTime


class FileEntry(StrictModel):
    """One file that a version names."""

    path: RelativePath = Field(description="below the root")
    bytes: int = Field(ge=0)
    sha256: Sha256


class Version(StrictModel):
    """The manifest: small, immutable, created exclusively; the highest number is current."""

    number: int = Field(ge=1)
    name: str
    set: Name
    created: IsoTime = Field(description="UTC, ISO 8601")
    shards: int
    rows_read: int
    rejects: int
    duplicates: int
    candidates: int
    plan: str = Field(
        "plan", pattern=r"^plan(/[0-9]{4,9})?$", description="folder of the plan that the counts are from"
    )
    unlisted: int = Field(0, description="keys whose rows no list has any more; no candidates")
    superseded: int = Field(0, description="keys that were tried again under another")
    tombstones: int = Field(0, description="keys that no reader may see, unlisted ones among them")
    missing: int = Field(0, description="samples whose link was found dead, so far once")
    outcomes: dict[str, int] = Field(description="status -> count; adds up to candidates")
    reasons: dict[str, int] = Field(description="status/reason -> count")
    vectors: dict[str, int] = Field(description="column -> vectors in it")
    tables: list[FileEntry] = Field(description="NNNN.parquet and its overlays")
    indices: list[FileEntry]


# NNNN.parquet: one row per file of a shard.
VERSION_SHARD = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("tried", pa.timestamp("ms", tz="UTC"), nullable=False),  # when its media were fetched
        pa.field("path", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ],
    metadata={"table": "version_shard/1"},
)

# Keys that readers must skip, and why.
TOMBSTONE = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("same_as", pa.string()),  # the key that stays, of a duplicate
    ],
    metadata={"table": "tombstone/1"},
)

# Keys that were retried under a new key: their rows are out of date.
SUPERSEDED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("by", pa.string(), nullable=False),  # the next key of the same candidate
    ],
    metadata={"table": "superseded/1"},
)

# Samples whose link a refresh found dead.
MISSING = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("since", pa.timestamp("ms", tz="UTC"), nullable=False),  # of the first refresh that did
    ],
    metadata={"table": "missing/1"},
)
