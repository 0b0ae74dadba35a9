"""csv, tsv and txt: a row is a line, so damage stays within it (`records.py`); SQL splits it into cells.

A quoted field may go on over lines.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.errors import ConfigError, ListError
from pipelines.source.records import RECORD, TextList
from pipelines.source.table.cells import (
    TableCells,
    join_files,
    make_literal,
    name_cell,
    select_cells,
)
from pipelines.source.table.columns import describe_first_line
from pipelines.source.table.files import TableFiles
from pipelines.source.table.text_lists import find_unread_list, get_text_items

_MAX_NAME = 10_000  # characters of a column's name
# Between fields, and how they are called; a list has one of them.
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_ENDINGS = {",": "csv", "\t": "tsv"}
# Lines of the head, by which they are told from each other.
_HEAD_ROWS = 50
# Lines of a list of URLs that are all comments; a list with more of them is read.
_HEAD_LINES = 1000
# In no name of a column, as far as lists are known.
_ODD = re.compile(r"[\^~\x01\x1e\x1f\xa6]")


@dataclass(frozen=True)
class Dialect:
    """How lines are written.

    Attributes:
        header: whether the first line has the names of the columns; or the names, where no line has them.
        comment: lines that begin with it are no rows.
        quote: of fields; None for none.
    """

    header: bool | tuple[str, ...] = True
    comment: str | None = None
    quote: str | None = '"'


class DelimitedTable:
    """A table of fields between commas or tabs.

    Args:
        files: of the table.
        dialect: how they are written.
        where: the list, for errors.

    Raises:
        ListError: the first file is missing, or has no rows.
        ConfigError: its header has a name twice, or is not the one that was given.
    """

    nested: frozenset[str] = frozenset()
    byte_columns: frozenset[str] = frozenset()
    typed: frozenset[str] = frozenset()
    blanks = True

    def __init__(self, files: TableFiles, dialect: Dialect, where: str) -> None:
        self._files, self._dialect, self._where = files, dialect, where
        self._delimiter = "\t" if files.format == "tsv" else ","
        self._delimiter, note = self._find_delimiter(files.urls[0])
        self.notes: Sequence[str] = [note] if note else []
        self._before, self.names = self._read_names(files.urls[0])
        # Counted once: a header of 2 MB has a million names.
        if twice := sorted(name for name, count in Counter(self.names).items() if count > 1 and name):
            raise ConfigError(
                f"{where} has two columns {twice[0]!r}; rename one of them in the file"
                f"{describe_first_line(self.names)}"
            )

    def make_cells(self, columns: Sequence[str]) -> TableCells:
        """See `Table`."""
        cells = {
            name_cell(self.names, name): self._bare(f"f[{self.names.index(name) + 1}]") for name in columns
        }
        fault = (
            f"CASE WHEN fault IS NOT NULL THEN fault WHEN len(f) <> {len(self.names)} THEN 'columns' "
            f"{self._find_unpaired()} END"
        )
        comment = self._dialect.comment
        kept = "" if comment is None else " WHERE NOT starts_with(text, $comment)"
        records = f"(SELECT *, {self._split_sql()} AS f FROM records{kept})"  # noqa: S608 - as in select_cells
        values = {} if comment is None else {"comment": comment}
        return TableCells(RECORD, self._read_batches, select_cells(cells, fault, records), values)

    def get_items(self, column: str) -> str:
        """See `Table`."""
        return get_text_items(name_cell(self.names, column))

    def find_unlisted(self, column: str) -> str | None:
        """See `Table`."""
        return find_unread_list(name_cell(self.names, column))

    def get_json(self, column: str) -> str:
        """See `Table`."""
        return f"to_json({name_cell(self.names, column)})"

    def find_nested(self, column: str) -> str | None:  # noqa: ARG002
        """See `Table`."""
        return None

    def read_records(self) -> Iterator[tuple[Mapping[str, Any], list[str] | None]]:
        """Yield the rows in Python, as RECORD with their cells; None for a row that cannot be read."""
        for batch in self._read_batches():
            for record in batch.to_pylist():
                fault, cells = record["fault"], []
                if fault is None:
                    fields = self._split_raw(record["text"])
                    cells = [self._strip_quotes(field) for field in fields]
                    fault = "quotes" if any(map(self._is_open, fields)) else None
                    fault = fault if len(cells) == len(self.names) else "columns"
                yield record | {"fault": fault}, None if fault else cells

    def _find_delimiter(self, url: str) -> tuple[str, str]:
        """Return what stands between the fields, and a sentence on it where its ending says another.

        It is that of the ending, unless the first line has one field by it, or most lines another number.
        """
        usual = self._delimiter
        head = [line for line in self._make_text(url).read_head(_HEAD_ROWS) if not self._is_comment(line)]
        if not head:
            return usual, ""
        counts = {each: self._count_like_first(head, each) for each in (usual, *_DELIMITERS)}
        # The first of equal ones: that of the ending, if it fits as well.
        found = max(counts, key=lambda each: counts[each])
        if counts[found] == counts[usual]:
            self._check_one_column(head[0])
            return usual, ""
        called = _ENDINGS[usual]
        return found, f"{self._where} is called {called}, and {_DELIMITERS[found]} are between its fields"

    def _count_like_first(self, head: Sequence[str], delimiter: str) -> int:
        """Return how many lines have as many fields as the first; 0 if that has one, or few are like it."""
        numbers = [self._count_fields(line, delimiter) for line in head]
        named = self._dialect.header
        wanted = len(named) if isinstance(named, tuple) else numbers[0]
        alike = numbers.count(wanted) if numbers[0] == wanted and wanted > 1 else 0
        # Of fewer it is a character within fields.
        return alike if 2 * alike > len(head) else 0

    def _count_fields(self, line: str, delimiter: str) -> int:
        if (quote := self._dialect.quote) is None:
            return line.count(delimiter) + 1
        try:
            fields = next(csv.reader([line], delimiter=delimiter, quotechar=quote, skipinitialspace=True), [])
        except csv.Error:
            return 0
        return len(fields)

    def _check_one_column(self, first: str) -> None:
        """Refuse a header of one name with characters that names do not have: they stand between fields."""
        fields = self._split(first)
        if self._dialect.header is True and len(fields) == 1 and (odd := _ODD.search(fields[0])):
            known = ", ".join(_DELIMITERS.values())
            raise ListError(
                f"{self._where} has one column, {fields[0][:100]!r}, and {odd[0]!r} may stand between its "
                f"fields; lists with {known} are read: write it with one of them"
            )

    def _make_text(self, url: str) -> TextList:
        if (quote := self._dialect.quote) is None:
            return TextList(url)
        one, delimiter = re.escape(quote), re.escape(self._delimiter)
        body = f"(?:[^{one}]|{one}{one})*"
        opens = rf"(?:(?:.*{delimiter})? *{one}{body})\s*$"
        return TextList(url, field=(quote, opens, rf"{body}{one} *(?:{delimiter}|\s*$)"))

    def _read_names(self, url: str) -> tuple[int, list[str]]:
        """Return the number of records before the first row, and the names of the columns."""
        header, head = self._dialect.header, self._make_text(url).read_first()
        rows = [(n, *record) for n, record in enumerate(head) if not self._is_comment(record[0])]
        if not rows:
            raise ListError(f"{self._where} has comments alone; give a list with rows")
        comments, _, fault = rows[0]
        if header is True and fault is not None:
            raise ListError(
                f"{self._where} has a header that cannot be read ({fault}); save the list as UTF-8, or give "
                "the names in `header:`"
            )
        # A row that cannot be read is a reject, and says nothing of the others.
        readable = [text for _, text, fault in rows if fault is None]
        if not readable:
            raise ListError(f"{self._where} begins with rows that cannot be read; save it as UTF-8")
        fields = self._split(readable[0])
        if header is True:
            # Of all records before the first row: one that cannot be read is a comment, too.
            if (longest := max(map(len, fields))) > _MAX_NAME:
                fault = f"a name of {longest:,} characters"
                raise ListError(f"{self._where} has a header that cannot be read ({fault}); say its `quote:`")
            return comments + 1, [name.strip() for name in fields]
        if header is False:
            return 0, [str(number) for number in range(len(fields))]
        if len(header) != len(fields):
            raise ConfigError(
                f"{self._where} has {len(fields)} columns and `header` names {len(header)}; name each of them"
            )
        return 0, [*header]

    def _is_comment(self, line: str) -> bool:
        return self._dialect.comment is not None and line.startswith(self._dialect.comment)

    def _split(self, line: str) -> list[str]:
        return [self._strip_quotes(field) for field in self._split_raw(line)]

    def _split_raw(self, line: str) -> list[str]:
        """Return the fields with their quotes, as SQL splits them."""
        if self._dialect.quote is None:
            return line.split(self._delimiter)
        return re.findall(self._make_field_pattern(), line + self._delimiter)

    def _make_field_pattern(self) -> str:
        """Return the RE2 of a field and the delimiter behind it; one whose quotes do not close has none."""
        assert self._dialect.quote is not None
        quote, delimiter = re.escape(self._dialect.quote), re.escape(self._delimiter)
        return f" *({quote}(?:[^{quote}]|{quote}{quote})*{quote} *|[^{delimiter}]*){delimiter}"

    def _make_quoted_pattern(self) -> str:
        """Return the RE2 of a field that is quoted; `"a" or "b"` is none, and stays as it is."""
        assert self._dialect.quote is not None
        quote = re.escape(self._dialect.quote)
        return f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}"

    def _strip_quotes(self, field: str) -> str:
        if (quote := self._dialect.quote) is None:
            return field
        stripped = field.strip(" ")
        is_quoted = re.fullmatch(self._make_quoted_pattern(), stripped)
        return stripped[1:-1].replace(2 * quote, quote) if is_quoted else field

    def _is_open(self, field: str) -> bool:
        if (quote := self._dialect.quote) is None:
            return False
        stripped = field.strip(" ")
        return stripped.startswith(quote) and (len(stripped) == 1 or not stripped.endswith(quote))

    def _split_sql(self) -> str:
        plain = f"string_split(text, {make_literal(self._delimiter)})"
        if (quote := self._dialect.quote) is None:
            return plain
        padded = f"text || {make_literal(self._delimiter)}"
        quoted = f"regexp_extract_all({padded}, {make_literal(self._make_field_pattern())}, 1)"
        return f"CASE WHEN contains(text, {make_literal(quote)}) THEN {quoted} ELSE {plain} END"

    def _bare(self, cell: str) -> str:
        """Return the SQL of a field without its quotes."""
        if (quote := self._dialect.quote) is None:
            return cell
        one, two, trimmed = make_literal(quote), make_literal(2 * quote), f"trim({cell})"
        return (
            f"CASE WHEN {trimmed}[1] = {one} AND {trimmed}[-1] = {one} "
            f"AND regexp_full_match({trimmed}, {make_literal(self._make_quoted_pattern())}) "
            f"THEN replace({trimmed}[2:-2], {two}, {one}) ELSE {cell} END"
        )

    def _find_unpaired(self) -> str:
        if (quote := self._dialect.quote) is None:
            return ""
        one = make_literal(quote)
        is_open = f"trim(field)[1] = {one} AND (length(trim(field)) = 1 OR trim(field)[-1] <> {one})"
        return f"WHEN len(list_filter(f, lambda field: {is_open})) > 0 THEN 'quotes'"

    def _read_batches(self) -> Iterator[pa.RecordBatch]:
        return join_files(self._read_file(url) for url in self._files.urls)

    def _read_file(self, url: str) -> Iterator[pa.RecordBatch]:
        before, names = (self._before, self.names)
        if url != self._files.urls[0] and self._dialect.header is True:
            before, names = self._read_names(url)
        if names != self.names:
            raise ListError(
                f"{self._where}: {url} has the columns {', '.join(names)}, and {self._files.urls[0]} has "
                f"{', '.join(self.names)}; name files of one kind by a glob"
            )
        return self._make_text(url).read_batches(before)


class LineTable:
    """A table of URLs, one a line.

    Args:
        files: of the table.
        comment: lines that begin with it are no rows; None for none.
        where: the list, for errors.

    Raises:
        ListError: the list has comments alone.
    """

    nested: frozenset[str] = frozenset()
    byte_columns: frozenset[str] = frozenset()
    typed: frozenset[str] = frozenset()
    blanks = True

    notes: Sequence[str] = ()

    def __init__(self, files: TableFiles, comment: str | None, where: str) -> None:
        self._files, self._comment = files, comment
        self.names = ["url"]
        if comment is None:
            return
        head = TextList(files.urls[0]).read_head(_HEAD_LINES)
        if len(head) < _HEAD_LINES and all(line.lstrip().startswith(comment) for line in head):
            raise ListError(f"{where} has comments alone; give a list with rows, or say `comment: null`")

    def make_cells(self, columns: Sequence[str]) -> TableCells:
        """See `Table`."""
        cells = {name_cell(self.names, name): "text" for name in columns}
        if self._comment is None:
            return TableCells(RECORD, self._read_batches, select_cells(cells, "fault", "records"))
        kept = "(FROM records WHERE NOT starts_with(ltrim(text), $comment))"
        values = {"comment": self._comment}
        return TableCells(RECORD, self._read_batches, select_cells(cells, "fault", kept), values)

    def get_items(self, column: str) -> str:
        """See `Table`."""
        return get_text_items(name_cell(self.names, column))

    def find_unlisted(self, column: str) -> str | None:
        """See `Table`."""
        return find_unread_list(name_cell(self.names, column))

    def get_json(self, column: str) -> str:
        """See `Table`."""
        return f"to_json({name_cell(self.names, column)})"

    def find_nested(self, column: str) -> str | None:  # noqa: ARG002
        """See `Table`."""
        return None

    def _read_batches(self) -> Iterator[pa.RecordBatch]:
        return join_files(TextList(url).read_batches() for url in self._files.urls)
