"""Columns that only some datasets' rows have (CANDIDATE_EXTRAS): the tables of the others lack them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from pipelines.store.root import Root
from schemas.candidate import CANDIDATE, CANDIDATE_EXTRAS


def read_candidate_table(root: Root, name: str) -> pa.Table:
    """Return the columns of CANDIDATE of a table, and those of CANDIDATE_EXTRAS that it has.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is damaged.
    """
    with root.open_parquet(name) as file:
        found = file.schema_arrow.names
        extras = [column for column in CANDIDATE_EXTRAS.names if column in found]
        return file.read(columns=[*CANDIDATE.names, *extras])


def extend_schema(schema: pa.Schema, columns: Collection[str]) -> pa.Schema:
    """Return a schema of rows with those of CANDIDATE_EXTRAS that are among some columns."""
    extras = [field for field in CANDIDATE_EXTRAS if field.name in columns]
    return pa.schema([*schema, *extras], metadata=schema.metadata) if extras else schema


def unpack_kept(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record with what its list keeps as fields of their own, before ours, as img2dataset does.

    Args:
        record: a row; `kept` is as a plan wrote it, or as somebody else's root has it.
    """
    if "kept" not in record:
        return record
    try:
        kept = json.loads(record["kept"] or "{}")
    except (ValueError, RecursionError):
        return record
    if not isinstance(kept, dict):
        return record
    own = {name: value for name, value in record.items() if name != "kept"}
    return {name: value for name, value in kept.items() if name not in own} | own
