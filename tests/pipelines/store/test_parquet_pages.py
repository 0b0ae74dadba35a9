"""Pages that promise more than their footer: refused before Arrow allocates for them."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DamagedTableError, StorageError
from pipelines.store.parquet_file import CheckedParquetFile
from pipelines.store.parquet_pages import PageBounds, check_pages
from pipelines.store.parquet_stream import ParquetStream

ROWS = 3_000
TABLE = pa.table(
    {
        "key": [f"{number:09d}" for number in range(ROWS)],
        "caption": ["a bell", None, "rain"] * (ROWS // 3),
        "vector": pa.array(np.zeros((ROWS, 4), np.float16).tolist(), pa.list_(pa.float16(), 4)),
        "captions": [["a", "b"], [], None] * (ROWS // 3),
    }
)


def write(table=TABLE, **options):
    """Return the bytes of a table."""
    written = io.BytesIO()
    pq.write_table(table, written, **options)
    return written.getvalue()


def check(data, columns=tuple(TABLE.column_names)):
    source = pa.BufferReader(data)
    return check_pages(source, pq.ParquetFile(source).metadata, set(columns))


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy", "gzip"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("encoding", [True, False])
def test_honest_pages_pass(compression, version, statistics, encoding):
    """Of both kinds of page, with dictionaries and without, in several pages and row groups."""
    data = write(
        compression=compression,
        data_page_version=version,
        write_statistics=statistics,
        use_dictionary=encoding,
        data_page_size=2_000,
        row_group_size=1_000,
        write_page_checksum=True,
    )
    bounds = check(data)

    assert not bounds.shares_prefixes
    assert 0 < bounds.largest_bytes < 2**20
    assert TABLE == CheckedParquetFile(pa.BufferReader(data), "x", is_ours=False).read(
        ["key", "caption", "vector"]
    ).append_column("captions", TABLE["captions"])


def test_a_long_statistic_is_read_over(tmp_path):
    """The least and the largest text of a page are in its header, however long."""
    table = pa.table({"caption": ["x" * 200_000 + str(number) for number in range(3)]})

    # Three texts with their lengths, and the levels.
    assert PageBounds(600_021, False) == check(write(table, use_dictionary=False), ["caption"])


def put(number):
    """Return a number as Thrift's compact protocol has it."""
    number, out = number << 1, b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def lie(size=None, values=None):
    """Return a file of ten numbers, whose page says another size or another number of values."""
    data = write(
        pa.table({"shard": pa.array([7] * 10, pa.int32())}),
        use_dictionary=False,
        compression="none",
        write_statistics=False,
    )
    chunk = pq.read_metadata(io.BytesIO(data)).row_group(0).column(0)
    at = chunk.data_page_offset
    # The type; then the size and the packed size, as far as they have a field each.
    own = data[at : at + 2] + b"\x15" + put(chunk.total_uncompressed_size)
    assert data[at : at + 3] == own[:3]
    length = data.index(b"\x2c", at) - at  # the field of the data page's header
    size_before = data[at + 3 : at + length].split(b"\x15")[0]
    header = data[at : at + 3] + (size_before if size is None else put(size))
    header += data[at + 3 + len(size_before) : at + length + 1]
    rest = data[at + length + 1 :]
    assert rest[:2] == b"\x15" + put(10)
    rest = b"\x15" + put(10 if values is None else values) + rest[2:]
    # What grew is taken from the padding that the magic at the front does not need to be followed by.
    return data[:at] + header + rest


@pytest.mark.parametrize("lies", [{"size": 2**30}, {"values": 2**30}, {"size": 2**31 - 1}])
def test_a_page_that_says_more_than_the_footer(tmp_path, lies):
    """Two thousand million values in 200 bytes: in a root it is a damaged table, in a list a damaged list."""
    data = lie(**lies)
    with pytest.raises(DamagedTableError, match="have more than its footer says"):
        check(data, ["shard"])
    with pytest.raises(StorageError, match=r"x is damaged \(pages of its column 'shard' have more"):
        CheckedParquetFile(pa.BufferReader(data), "x").read(["shard"])
    with pytest.raises(DamagedTableError, match="have more than its footer says"):
        list(ParquetStream(pa.BufferReader(data)).iterate(["shard"], 10))


def test_no_bytes_break_the_reader_of_headers():
    """Whatever a header holds: a sentence or bounds, never another error."""
    data, rng = write(compression="none"), np.random.default_rng(0)
    start = pq.read_metadata(io.BytesIO(data)).row_group(0).column(0).dictionary_page_offset
    ends = 0
    for _ in range(300):
        broken = bytearray(data)
        for at in rng.integers(start, start + 40, 4):
            broken[at] = rng.integers(0, 256)
        try:
            check(bytes(broken))
        except DamagedTableError:
            ends += 1

    assert ends > 50


def make_shared(size=2**20):
    """Return a file in which every text is the one before and a letter: 1 MB for as many as there are."""
    texts = pa.array(["x" * size + str(number) for number in range(8)])
    few = write(
        pa.table({"url": ["u"] * 8, "caption": texts}),
        use_dictionary=False,
        column_encoding={"caption": "DELTA_BYTE_ARRAY", "url": "PLAIN"},
    )
    assert len(few) < size // 4
    return few


def test_texts_that_share_their_beginnings_are_read_in_small_batches(monkeypatch):
    """In a list they may be honest, and each is no longer than its page; in a root nobody writes them."""
    from pipelines.store import parquet_stream

    data = make_shared()
    assert check(data, ["caption"]).shares_prefixes
    with pytest.raises(StorageError, match="encoded as no table of ours is"):
        CheckedParquetFile(pa.BufferReader(data), "x").read(["caption"])
    monkeypatch.setattr(parquet_stream, "_MAX_BATCH_BYTES", 2**22)
    batches = list(ParquetStream(pa.BufferReader(data)).iterate(["caption"], 10_000))

    assert [f"{'x' * 2**20}{number}" for number in range(8)] == [
        text for batch in batches for text in batch["caption"].to_pylist()
    ]
    assert max(map(len, batches)) < 4


def test_a_table_without_rows_has_pages_of_nothing(tmp_path):
    """Arrow writes a row group for it, and its chunks begin nowhere."""
    empty = TABLE.slice(0, 0)
    data = write(
        pa.table({"kind": empty["key"].cast(pa.dictionary(pa.int32(), pa.string()))}), compression="zstd"
    )
    assert PageBounds() == check(data, ("kind",))
    assert PageBounds() == check(write(empty))
    (tmp_path / "a.parquet").write_bytes(write(empty))
    assert 0 == len(CheckedParquetFile(str(tmp_path / "a.parquet"), "x", is_ours=False).read(["key"]))
