import gzip
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ListError
from pipelines.source import records
from pipelines.source.records import BLOCK_BYTES, MAX_RECORD_BYTES, TextList

LINES = "".join(f"row {number}\n" for number in range(300)).encode()


def read(path, header=0, start=None):
    """Return rows, lines, texts and faults of all records."""
    batches = list(TextList(str(path), start).read_batches(header))
    return [
        [value for batch in batches for value in batch[name].to_pylist()]
        for name in ("row", "line", "text", "fault")
    ]


@pytest.mark.parametrize(
    "pack",
    [lambda data: data, gzip.compress, lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])],
    ids=["plain", "gzip", "gzip-in-two-members"],
)
def test_packed_or_not(written, pack):
    """It is told by the bytes, not by the name, whether a list is gzipped."""
    rows, lines, texts, faults = read(written("list", pack(LINES)))

    assert [f"row {number}" for number in range(300)] == texts
    assert list(range(300)) == rows
    assert list(range(1, 301)) == lines
    assert {None} == set(faults)


@given(
    lines=st.lists(
        st.sampled_from([b"", b"a", b"\r", b"b\r", b"\xff", b"c" * 30, b'"', b'd"d']), max_size=30
    ),
    last=st.sampled_from([b"", b"\n", b"e"]),
    block=st.integers(1, 40),
)
def test_blocks_make_no_difference(lines, last, block, tmp_path_factory):
    """Wherever the blocks of a stream end, the same records come out, with the numbers of their lines."""
    path = tmp_path_factory.mktemp("blocks") / "list"
    path.write_bytes(b"\n".join(lines) + last)
    expected = [
        (number, line.rstrip(b"\r").decode(errors="backslashreplace"))
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1)
        if line.rstrip(b"\r")
    ]
    records.BLOCK_BYTES = block
    try:
        rows, numbers, texts, _ = read(path)
    finally:
        records.BLOCK_BYTES = BLOCK_BYTES

    assert expected == list(zip(numbers, (text.rstrip("\r\n") for text in texts), strict=True))
    assert list(range(len(expected))) == rows


@given(
    fields=st.lists(st.text('ab"\n\t\r', max_size=8), min_size=1, max_size=12),
    block=st.integers(1, 60),
)
def test_quoted_line_ends_belong_to_their_record(fields, block, tmp_path_factory):
    """Records with quoted fields come out whole, wherever the blocks of a stream end."""
    whole = [f'{number},"{field.replace(chr(34), chr(34) * 2)}"' for number, field in enumerate(fields)]
    path = tmp_path_factory.mktemp("quoted") / "list"
    path.write_bytes("\n".join(whole).encode())
    records.BLOCK_BYTES = block
    try:
        _, numbers, texts, _ = read(path, start=r"\d+,")
    finally:
        records.BLOCK_BYTES = BLOCK_BYTES

    assert whole == texts
    assert [1 + sum(text.count("\n") + 1 for text in whole[:i]) for i in range(len(whole))] == numbers


def test_too_long_records_take_little_memory(written):
    """A record of any length is cut off; the lines behind it keep their numbers."""
    long = b"x" * (3 * BLOCK_BYTES)
    quoted = b'1,"' + b"y\n" * MAX_RECORD_BYTES + b'"'
    path = written("list", b"0,a\n" + long + b"\n" + quoted + b"\n2,b\n" + long)
    _, lines, texts, faults = read(path, start=r"\d+,")

    assert [None, "too_long", "too_long", None, "too_long"] == faults
    assert [1, 2, 3, 4 + MAX_RECORD_BYTES, 5 + MAX_RECORD_BYTES] == lines
    assert ["0,a", "2,b"] == [texts[0], texts[3]]
    assert 1000 == max(map(len, texts))


def test_header_is_no_row(written):
    """Rows are counted from the first behind the header; lines are those of the file."""
    rows, lines, texts, _ = read(written("list", b"\n\nname\n\na\nb\n"), header=1)

    assert ([0, 1], [5, 6], ["a", "b"]) == (rows, lines, texts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(gzip.compress(LINES)[:-20], "is damaged or cut off", id="gzip-cut-off"),
        pytest.param(
            gzip.compress(os.urandom(9_000_000))[:-4_000_000], "is damaged or cut off", id="cut-off-late"
        ),
        pytest.param(gzip.compress(LINES)[:40] + b"x" * 400, "is damaged or cut off", id="gzip-damaged"),
        pytest.param(gzip.compress(LINES)[:-8] + b"12345678", "is damaged or cut off", id="wrong-checksum"),
    ],
)
def test_damaged_gzip(written, content, message):
    """A list that stops half-way is an error and not a short list."""
    with pytest.raises(ListError, match=message):
        read(written("list.gz", content))


def test_not_there(tmp_path):
    """A missing file and a folder are told apart."""
    with pytest.raises(ListError, match="is not there; check the path or URL"):
        read(tmp_path / "list.tsv")
    with pytest.raises(ListError, match="is a folder; give the file in it"):
        read(tmp_path)
    with pytest.raises(ListError, match=r"cannot be read .*check the address"):
        list(TextList("nosuchprotocol://a/b").read_batches())


class Ranges(SimpleHTTPRequestHandler):
    """Serves a folder, whole files only."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def web(tmp_path):
    """A server of a folder, as plain as Python's own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *of: Ranges(*of, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_over_http(written, web, pack):
    """A list on a server is read as it comes; the server need not know ranges."""
    written("list", pack(LINES * 10))

    assert 3000 == len(read(f"{web}/list")[0])
    with pytest.raises(ListError, match="is not there"):
        read(f"{web}/other")


def test_in_memory_file_system():
    """Any URL that fsspec knows will do."""
    import fsspec

    with fsspec.open("memory://lists/a.tsv", "wb") as file:
        file.write(LINES)

    assert 300 == len(read("memory://lists/a.tsv")[0])


def test_head_is_what_can_be_read(written):
    """A look at the beginning skips what is broken there."""
    text = TextList(written("list", b"\xff\n" + LINES))

    assert ["row 0", "row 1"] == text.read_head(2)
    assert 1 == sum(pc.sum(pc.is_valid(batch["fault"])).as_py() for batch in text.read_batches())
