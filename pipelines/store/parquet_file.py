"""Parquet files of a root, which may come from anybody: bounded by their footer, checked by their columns.

A column has one meaning wherever it occurs (`schemas/`), so its name says which type and values it may have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import DamagedTableError, StorageError
from pipelines.store.parquet_pages import check_pages
from schemas.candidate import CANDIDATE, CANDIDATE_EXTRAS, FILTERED, KINDS, REJECT, SHARD, SHARD_DIGITS
from schemas.generated import GENERATED
from schemas.outcome import STATUSES
from schemas.sample import SAMPLE
from schemas.translated import read_translator
from schemas.vectors import CHOICE, PROMPTED_CHOICE, decode_segment, decode_smaller_batches, decode_spaces
from schemas.version import MISSING, SUPERSEDED, TOMBSTONE, VERSION_SHARD
from schemas.windows import START, VECTOR, decode_windows

# In memory. Vectors do not compress; what does, is text, of which a shard of 1,000 rows has some megabytes.
MAX_BYTES = 2**29
_MAX_RATIO = 16
# Strings of the footer; ours have the spaces of a few columns.
_MAX_FOOTER_STRING = 16 * 2**20


def _describe_type(kind: pa.DataType) -> str:
    """Return the name of a type; the items of a list have another name in Parquet than in Arrow."""
    if pa.types.is_fixed_size_list(kind):
        return f"lists of {kind.list_size} {kind.value_type}"[:80]
    return f"lists of {kind.value_type}"[:80] if pa.types.is_list(kind) else str(kind)[:80]


_SCHEMAS = (
    *(CANDIDATE, CANDIDATE_EXTRAS, FILTERED, REJECT, SHARD, SAMPLE, CHOICE, PROMPTED_CHOICE, GENERATED),
    *(VERSION_SHARD, TOMBSTONE, SUPERSEDED, MISSING, pa.schema([START])),
)
_TYPES: dict[str, set[str]] = {}
_REQUIRED: dict[str, bool] = {}
for _schema in _SCHEMAS:
    for _field in _schema:
        _TYPES.setdefault(_field.name, set()).add(_describe_type(_field.type))
        _REQUIRED[_field.name] = _REQUIRED.get(_field.name, True) and not _field.nullable

Check = Callable[[pa.ChunkedArray], pa.BooleanScalar]


def _match(pattern: str) -> Check:
    return lambda column: pc.all(pc.match_substring_regex(column, f"^(?:{pattern})$"))


def _between(least: float, most: float) -> Check:
    return lambda column: pc.all(pc.and_(pc.greater_equal(column, least), pc.less_equal(column, most)))


def _among(values: Sequence[str]) -> Check:
    return lambda column: pc.all(pc.is_in(column, value_set=pa.array(values)))


def _are_times(column: pa.ChunkedArray) -> pa.BooleanScalar:
    # Python's last year is 9999.
    return _between(0, 253_402_300_799_999)(pc.cast(column, pa.int64()))


# What the values of a column may be, and how a sentence says it. Nulls are no values.
_VALUES: dict[str, tuple[Check, str]] = {
    **dict.fromkeys(("key", "by"), (_match("[0-9]{1,18}"), "a key")),
    "same_as": (_match("[0-9]{0,18}"), "a key"),
    "sha256": (_match("[0-9a-f]{64}"), "a sha256"),
    "expected_hash": (_match("[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{128}"), "a hash"),
    "kind": (_among(KINDS), "a kind of row"),
    "outcome": (_among(STATUSES), "an outcome"),
    "reason": (_match("[A-Za-z0-9_.]{0,64}"), "a reason"),
    "shard": (_between(0, 10**SHARD_DIGITS - 1), "the number of a shard"),
    "rows": (_between(0, 1_000_000), "a number of rows"),
    "bytes": (_between(0, 2**62), "a size"),
    **dict.fromkeys(("start_s", "length_s"), (_between(0, 1e9), "a time")),
    **dict.fromkeys(("tried", "since"), (_are_times, "a date")),
}


class CheckedParquetFile(pq.ParquetFile):  # type: ignore[misc]
    """A Parquet file that is no larger than it should be, and whose columns are what their names say.

    Args:
        source: path or buffer.
        where: the file, for errors.
        is_ours: whether its columns are those of a root; else they may have any type and value.

    Raises:
        StorageError: a column has another type.
        pa.ArrowInvalid: it is no Parquet file.
    """

    def __init__(self, source: str | pa.BufferReader, where: str, is_ours: bool = True) -> None:
        super().__init__(source, thrift_string_size_limit=_MAX_FOOTER_STRING)
        self._source, self._where = source, where
        size = Path(source).stat().st_size if isinstance(source, str) else source.size()
        self._limit = max(MAX_BYTES, _MAX_RATIO * size)
        self._is_ours = is_ours
        # A table that img2dataset wrote has types of its own.
        if is_ours and ("outcome" in self.schema_arrow.names or "status" not in self.schema_arrow.names):
            self._check_types()

    def read(self, columns: Sequence[str] | None = None, **options: Any) -> pa.Table:
        """Return columns, all by default.

        Raises:
            StorageError: a column is missing, takes too much memory or has a value that it cannot have.
        """
        names = self.schema_arrow.names
        if lost := [name for name in columns or () if name not in names]:
            raise self._make_error(f"it has no column {lost[0]!r}")
        self._check_size(names if columns is None else columns)
        table = super().read(columns=columns, **options)
        check_values(table, self._where, self._is_ours)
        return table

    def iter_batches(
        self, *arguments: Any, columns: Sequence[str] | None = None, **options: Any
    ) -> Iterator[Any]:
        """Yield record batches of columns, as `read` returns them."""
        self._check_size(self.schema_arrow.names if columns is None else columns)
        for batch in super().iter_batches(*arguments, columns=columns, **options):
            check_values(pa.Table.from_batches([batch]), self._where, self._is_ours)
            yield batch

    def _check_types(self) -> None:
        """Refuse columns of other types, and spaces that are not those of the columns."""
        for field in self.schema_arrow:
            types = {"float"} if field.name.endswith("_norm") else _TYPES.get(field.name)
            if types and _describe_type(field.type) not in types:
                expected = " or ".join(sorted(types))
                raise self._make_error(
                    f"its column {field.name!r} is of {_describe_type(field.type)}, not of {expected}"
                )

        try:
            decode_segment(self.schema_arrow), decode_smaller_batches(self.schema_arrow)
            read_translator(self.schema_arrow)
            spaces = decode_spaces(self.schema_arrow)
            if windows := decode_windows(self.schema_arrow):
                spaces = {VECTOR: windows[1]}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._make_error("its metadata name no spaces that can be read") from error
        for column, space in spaces.items():
            expected = f"lists of {space.dims} halffloat"
            position = self.schema_arrow.get_field_index(column)
            found = _describe_type(self.schema_arrow.field(position).type) if position >= 0 else "missing"
            if found != expected:
                raise self._make_error(f"its column {column!r} is {found}, not {expected}")

    def _check_size(self, columns: Sequence[str]) -> None:
        """Refuse columns that take too much memory, by what the footer says of them, and pages that say more.

        A text that is repeated is stored once, so the footer bounds texts from far above. Where the bound is
        too high, every different text is read once, and how often it is repeated.
        """
        self._check_pages(columns)
        fields = [field for field in self.schema_arrow if field.name in set(columns)]
        groups = [self.metadata.row_group(number) for number in range(self.metadata.num_row_groups)]
        rows, values = sum(group.num_rows for group in groups), self._count_values(groups)
        fixed = sum(
            # A list of fixed size takes as much where it is null.
            max(values[field.name], rows * _get_items(field.type)) * self._get_value_bytes(field)
            for field in fields
        )
        texts = [field.name for field in fields if _is_text(field.type)]
        if fixed <= self._limit and fixed + self._bound_texts(texts) > self._limit:
            fixed += sum(self._count_text(name) for name in texts)
        if fixed > self._limit:
            raise self._make_error(
                f"it takes {fixed / 2**20:,.0f} MiB in memory and {self._limit / 2**20:,.0f} are the most"
            )

    def _check_pages(self, columns: Sequence[str]) -> None:
        try:
            if isinstance(self._source, str):
                with pa.OSFile(self._source) as file:
                    bounds = check_pages(file, self.metadata, set(columns))
            else:
                bounds = check_pages(self._source, self.metadata, set(columns))
        except DamagedTableError as error:
            raise self._make_error(str(error)) from error
        if bounds.shares_prefixes:
            raise self._make_error("it is encoded as no table of ours is")

    def _count_values(self, groups: Sequence[pq.RowGroupMetaData]) -> Counter[str]:
        """Return the number of values of every column; the items of a list are such."""
        values: Counter[str] = Counter()
        for group in groups:
            for chunk in map(group.column, range(group.num_columns)):
                values[chunk.path_in_schema.partition(".")[0]] += chunk.num_values
        return values

    def _get_value_bytes(self, field: pa.Field) -> float:
        """Return the bytes of a value of a column in memory, without those of its text."""
        kind = field.type
        if _is_text(kind):
            return 8
        if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
            kind = kind.value_type
        if not (pa.types.is_primitive(kind) or pa.types.is_null(kind)):
            raise self._make_error(f"its column {field.name!r} is of {str(field.type)[:80]}")
        return 0 if pa.types.is_null(kind) else float(kind.bit_width / 8)

    def _bound_texts(self, names: Sequence[str]) -> int:
        """Return the most bytes that columns of texts can take."""
        groups = [self.metadata.row_group(number) for number in range(self.metadata.num_row_groups)]
        return sum(
            chunk.total_uncompressed_size * max(1, chunk.num_values)
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
            if chunk.path_in_schema in names
        )

    def _count_text(self, name: str) -> int:
        """Return the bytes that a column of texts takes."""
        total = 0
        with pq.ParquetFile(self._source, read_dictionary=[name]) as file:
            for group in range(file.metadata.num_row_groups):
                for chunk in file.read_row_group(group, columns=[name]).column(name).chunks:
                    encoded = chunk if isinstance(chunk, pa.DictionaryArray) else chunk.dictionary_encode()
                    lengths = pc.cast(pc.binary_length(encoded.dictionary), pa.int64())
                    total += pc.sum(lengths.take(encoded.indices)).as_py() or 0
                if total > self._limit:
                    break
        return total

    def _make_error(self, problem: str) -> StorageError:
        return make_table_error(self._where, problem)


def check_values(table: pa.Table, where: str, is_ours: bool = True) -> None:
    """Check that the columns of a table have values that they can have.

    Args:
        table: of a root.
        where: its file, for the error.
        is_ours: whether its columns are those of a root; else texts alone are checked, which are UTF-8.

    Raises:
        StorageError: a column has another.
    """
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise make_table_error(where, " ".join(str(error).split())[:200]) from error
    for name, column in zip(table.column_names, table.columns, strict=True) if is_ours else ():
        if column.null_count and _REQUIRED.get(name):
            raise make_table_error(where, f"its column {name!r} has nulls")
        if name in _VALUES and column.null_count < len(column):
            is_valid, expected = _VALUES[name]
            if is_valid(column).as_py() is False:
                raise make_table_error(where, f"a value of its column {name!r} is not {expected}")


def select_schema(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """Return the columns of a schema, as the schema has them.

    Args:
        table: of a root.
        schema: that it must have.
        where: its file, for the error.

    Raises:
        StorageError: it lacks a column, or has another in its place.
    """
    try:
        return pa.Table.from_arrays([table[name] for name in schema.names], schema=schema)
    except (KeyError, pa.ArrowException) as error:
        raise make_table_error(where, f"it is not a table of {', '.join(schema.names)}") from error


def make_table_error(where: str, problem: str) -> StorageError:
    """Return the error of a table that is not what it should be."""
    return StorageError(f"{where} is damaged ({problem}); remove it and run the build again")


@contextmanager
def as_table_errors(where: str) -> Iterator[None]:
    """Turn Arrow's errors of a damaged table into one sentence.

    Raises:
        StorageError: there is one.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Arrow's own have no number, and mean a damaged footer.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise make_table_error(where, " ".join(str(error).split())[:200]) from error


def _get_items(kind: pa.DataType) -> int:
    """Return how many values a row has at least."""
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 1


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))
