"""A row of a list, to be fetched: candidates/NNNNN.parquet, plan/filtered.parquet, plan/rejects.parquet.

A candidate file has one row per key in ascending order, and no key column: the key is the file's number and
the row's position (`format_key`). That, and the absence of img2dataset's reserved column names,
lets img2dataset read the folder (`--url_list ROOT/candidates --input_format parquet`).
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal, get_args

import pyarrow as pa

Kind = Literal["image", "clip", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CANDIDATE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # see make_candidate_id
        pa.field("source", pa.string(), nullable=False),  # wit, cc3m, cc12m, audiocaps, ...
        pa.field("source_row", pa.int64(), nullable=False),  # 0-based among the list's rows, without header
        pa.field("kind", pa.string(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),  # web, a host with a lane of its own, local, none
        pa.field("media_url", pa.string()),  # what is fetched: `url`, or the filled media template
        pa.field("start_s", pa.float64()),
        pa.field("length_s", pa.float64()),
        pa.field("language", pa.string()),  # by the list; null if it names none
        pa.field("label", pa.string()),
        pa.field("split", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("attribution", pa.string()),
        pa.field("licence", pa.string(), nullable=False),  # "unknown" if the list names none
        pa.field("source_key", pa.string()),  # the key in a foreign img2dataset folder
        pa.field("caption", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
    ],
    metadata={"table": "candidate/1"},
)

# Columns that only the tables of a dataset have of which a list says them; then all rows have them.
CANDIDATE_EXTRAS = pa.schema(
    [
        # md5, sha256 or sha512 of the bytes at media_url, in hex of lower case; null if the list says none.
        pa.field("expected_hash", pa.string()),
        # A JSON object: other columns of the list, as a user asked for them.
        pa.field("kept", pa.string()),
    ]
)

# A candidate that its list's settings rule out: never fetched, without a key.
FILTERED = pa.schema(
    [*CANDIDATE, pa.field("outcome", pa.string(), nullable=False), pa.field("reason", pa.string())],
    metadata={"table": "filtered/1"},
)

# A row that cannot be parsed, as it is in the list, with the reason.
REJECT = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("list", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),  # 1-based line of the list
        # columns, quotes, number, no_url, key, json, nested; for bytes that are not text: encoding, nul,
        # too_long; over a cap: long_url, long_caption, long_field; of files of a folder: link_out,
        # special_file; of the places of a table: local_file, path_out, store; hash
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # the line, cut to 1,000 characters
    ],
    metadata={"table": "reject/1"},
)

# plan/shards.parquet: one row per shard.
SHARD = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
    ],
    metadata={"table": "shard/1"},
)

SHARD_DIGITS = 5


def make_candidate_id(source: str, url: str, start_s: float | None, caption: str) -> str:
    """Return the id of a row, 32 hex digits of a hash of its content, which is stable over refreshes."""
    start_ms = "" if start_s is None else str(math.floor(start_s * 1000 + 0.5))
    return hashlib.sha256("\0".join((source, url, start_ms, caption)).encode()).hexdigest()[:32]


def _row_digits(shard_rows: int) -> int:
    return len(str(shard_rows - 1)) if shard_rows > 1 else 0


def format_shard(shard: int) -> str:
    """Return the five-digit name of a shard, as in `media/00007.tar`."""
    return f"{shard:0{SHARD_DIGITS}d}"


def parse_shard(name: str) -> int | None:
    """Return the shard of a file named such as `00007.tar` or `00007_stats.json`; None if it has none."""
    digits = name.partition(".")[0].partition("_")[0]
    return int(digits) if digits.isdecimal() else None


def format_key(shard: int, row: int, shard_rows: int) -> str:
    """Return img2dataset's key: `shard * 10**ceil(log10(shard_rows)) + row`, zero-padded."""
    digits = _row_digits(shard_rows)
    return f"{shard * 10**digits + row:0{digits + SHARD_DIGITS}d}"


def parse_key(key: int | str, shard_rows: int) -> tuple[int, int]:
    """Return `(shard, row)` of a key: the inverse of `format_key`."""
    digits: int = _row_digits(shard_rows)
    shard, row = divmod(int(key), 10**digits)
    return shard, row
