"""translators/NAME/vectors/SET.COLUMN.SHA/NNNNN.parquet: the translated vectors of one shard."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from pydantic import Field

from schemas.encoders import Name
from schemas.families import Column
from schemas.names import PartName, Sha256
from schemas.space import Space
from schemas.strict import StrictModel
from schemas.translator_card import TranslatorCard
from schemas.vectors import encode_spaces

_TRANSLATOR = b"translator"


class TranslationCard(StrictModel):
    """NNNN.json beside the shards: written last, it marks the shards of a version as complete."""

    translator: PartName
    weights_sha256: Sha256
    trained_on: int = Field(description="the version that the translator was trained on")
    version: int = Field(description="the version whose vectors were translated")
    set: Name
    source: Column
    target: Column
    space: Space = Field(description="of the translated vectors")
    shards: int = Field(description="files of the version's shards; shards without the column have none")
    outcomes: dict[str, int] = Field(description="rows by outcome, without what the version hides")


def make_translated_schema(card: TranslatorCard, set_name: str, source: Column) -> pa.Schema:
    """Return the schema of the translated vectors of a column: float16 unit vectors, or null.

    Args:
        card: of the translator.
        set_name: the set of vectors that were translated.
        source: their column.
    """
    fields = [
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field(card.target, pa.list_(pa.float16(), card.target_space.dims)),
    ]
    translator = {
        "name": card.name,
        "weights_sha256": card.weights_sha256,
        "trained_on": card.version,
        "set": set_name,
        "source": source,
        "source_space": card.source_space.model_dump(),
    }
    metadata = encode_spaces({card.target: card.target_space}) | {
        b"table": b"translated/1",
        _TRANSLATOR: json.dumps(translator, sort_keys=True).encode(),
    }
    return pa.schema(fields, metadata=metadata)


def read_translator(schema: pa.Schema) -> dict[str, Any]:
    """Return the translator of a table of translated vectors; empty if it is not one."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    translator: dict[str, Any] = json.loads(metadata.get(_TRANSLATOR, b"{}"))
    return translator
