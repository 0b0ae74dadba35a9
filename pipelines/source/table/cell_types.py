"""Types of the cells of Parquet files: texts that are stored as bytes, and files that differ in a type."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pyarrow as pa


def is_list(kind: pa.DataType) -> bool:
    """Return whether the cells of a type are lists."""
    return any(
        is_kind(kind) for is_kind in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )


def make_text(kind: pa.DataType) -> pa.DataType:
    """Return the type that cells are read as: texts for bytes, as those of old Spark and Hive are."""
    if is_list(kind):
        text = make_text(kind.value_type)
        return kind if text == kind.value_type else pa.list_(text)
    return pa.string() if _is_bytes(kind) else kind


def decode_cells(cells: pa.Array) -> tuple[pa.Array, AbstractSet[int]]:
    """Return cells of bytes as texts, and the rows whose bytes are no UTF-8; these are escaped."""
    texts, unread = list[object](), set[int]()
    for row, cell in enumerate(cells.to_pylist()):
        try:
            texts.append(_decode(cell, "strict"))
        except UnicodeDecodeError:
            texts.append(_decode(cell, "backslashreplace"))
            unread.add(row)
    return pa.array(texts, make_text(cells.type)), unread


def find_common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that has room for the values of two; None if there is none."""
    one, other = make_text(one), make_text(other)
    fields = [pa.schema([pa.field("cell", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field("cell").type
    except pa.ArrowException:
        return None if pa.types.is_nested(one) or pa.types.is_nested(other) else pa.string()


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def _decode(cell: object, errors: str) -> object:
    if isinstance(cell, list):
        return [_decode(each, errors) for each in cell]
    return cell.decode(errors=errors) if isinstance(cell, bytes) else cell
