"""Every value of every JSON file and table of a root, replaced by hostile ones."""

import io
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

DEEP = "deep"
VALUES = {
    "null": None,
    "minus": -1,
    "2**63": 2**63,
    "1e308": 1e308,
    "nan": math.nan,
    "empty": "",
    "dots": "../../x",
    "passwd": "/etc/passwd",
    "10kB": "x" * 10_000,
    "escape": "a\0\x1b]0;b\x07\u202e",
    "list": [],
    "mapping": {},
    DEEP: None,
    "true": True,
    "absent": None,
}
_STRINGS = ("empty", "dots", "passwd", "10kB", "escape")
_NUMBERS = {"minus": -1, "2**63": 2**63 - 1, "1e308": 1e308, "nan": math.nan, "zero": 0}
_DEEP_JSON = "[" * 200 + "]" * 200


@dataclass(frozen=True)
class Case:
    """One file with one hostile value.

    Attributes:
        file: below the root.
        where: the path of the value, or the column.
        value: its name.
        make: returns the bytes of the file.
    """

    file: str
    where: str
    value: str
    make: Callable[[], bytes]

    def __str__(self) -> str:
        return f"{self.file}:{self.where}={self.value}"


def iterate_cases(root: Path) -> Iterator[Case]:
    """Yield the cases of a root: every value of one file of each schema."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    # The last of those whose names differ by a number, and one of a version's indices.
    schemas = {re.sub(r"\d{4,}\S*/|\d{4,}|c\w+_(?=audio|image|text)", "", str(path)): path for path in files}
    for path in schemas.values():
        name = path.relative_to(root).as_posix()
        if name.endswith(".json"):
            yield from _iterate_json(name, path.read_bytes())
        elif name.endswith(".parquet"):
            yield from _iterate_table(name, path.read_bytes())
        if not name.endswith(".jsonl"):
            yield from _iterate_bytes(name, path.read_bytes())


def _iterate_bytes(name: str, data: bytes) -> Iterator[Case]:
    half = len(data) // 2
    for value, damaged in {
        "no-bytes": b"",
        "half": data[:half],
        "flipped": data[:half] + bytes([data[half] ^ 0x55]) + data[half + 1 :],
        "brackets": b"[" * 100_000,
        "garbage": bytes(range(256)) * 8,
    }.items():
        yield Case(name, "", value, lambda damaged=damaged: damaged)


def _iterate_json(name: str, data: bytes) -> Iterator[Case]:
    content = json.loads(data)
    for where in _iterate_paths(content):
        for value in VALUES:
            yield Case(
                name, ".".join(map(str, where)), value, lambda w=where, v=value: _replace(content, w, v)
            )


def _iterate_paths(content: object, before: tuple = ()) -> Iterator[tuple]:
    yield before
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for number, (key, inner) in enumerate(items):
        # The items of a list are of one schema, and so are the spaces of the columns after the first.
        if number < (2 if isinstance(content, list) else 40) and not (number and re.match("cl.p_", str(key))):
            yield from _iterate_paths(inner, (*before, key))


def _replace(content: object, where: tuple, value: str) -> bytes:
    if not where:
        changed: object = VALUES[value]
    else:
        changed = at = json.loads(json.dumps(content))
        for key in where[:-1]:
            at = at[key]
        if value == "absent":
            del at[where[-1]]
        else:
            at[where[-1]] = "\0deep" if value == DEEP else VALUES[value]
    return json.dumps(changed).replace(json.dumps("\0deep"), _DEEP_JSON).encode()


def _iterate_table(name: str, data: bytes) -> Iterator[Case]:
    table = pq.read_table(io.BytesIO(data))
    for field in table.schema:
        for value in ("null", *_STRINGS, *_NUMBERS, "list", "mapping", "true", "absent"):
            yield Case(name, field.name, value, lambda f=field.name, v=value: _replace_column(table, f, v))
    for key in table.schema.metadata or {}:
        if not key.startswith(b"ARROW"):
            yield from _iterate_metadata(name, table, key)
    yield Case(name, "rows", "none", lambda: _write(table.slice(0, 0)))
    yield Case(name, "rows", "double", lambda: _write(pa.concat_tables([table, table])))


def _iterate_metadata(name: str, table: pa.Table, key: bytes) -> Iterator[Case]:
    try:
        content = json.loads(table.schema.metadata[key])
    except ValueError:
        content = None
    for where in _iterate_paths(content) if content is not None else [()]:
        for value in VALUES if where else ("null", "list", "10kB", "absent"):
            yield Case(
                name,
                f"<{key.decode()}>{'.'.join(map(str, where))}",
                value,
                lambda w=where, v=value: _write(
                    table.replace_schema_metadata(table.schema.metadata | {key: _replace(content, w, v)})
                ),
            )


def _replace_column(table: pa.Table, name: str, value: str) -> bytes:
    position = table.column_names.index(name)
    kind, rows = table.schema.field(name).type, len(table)
    if value == "absent":
        return _write(table.remove_column(position))
    made: list = [VALUES.get(value, _NUMBERS.get(value))] * rows
    if value in _NUMBERS and pa.types.is_fixed_size_list(kind):
        made = [[float(_NUMBERS[value])] * kind.list_size] * rows
    elif value in _NUMBERS and pa.types.is_list(kind):
        made = [[_NUMBERS[value]] * 3] * rows
    elif value == "mapping":
        made = [{"a": 1}] * rows
    elif value in _NUMBERS:
        made = [_NUMBERS[value]] * rows
    try:
        column = pa.array(made, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        column = pa.array(made)  # of another type
    return _write(table.set_column(position, pa.field(name, column.type), column))


def _write(table: pa.Table) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()
