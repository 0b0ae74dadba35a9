"""A root on s3://, over real HTTP: conditional writes, long listings, and a line that is cut or slow."""

import socket
import threading
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from pipelines.errors import StorageError
from pipelines.store.root import Root

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Line:
    """A TCP line to the store that can be cut, or say SlowDown in the store's place. One request each."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._store = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.requests = 0
        self.slow = 0  # requests that are answered with 503 SlowDown
        self.cut = 0  # uploads that are cut
        self.cut_after = 2**20  # bytes of them that get through
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(65536)
                if not more:
                    return
                head += more
            self.requests += 1
            if self.slow:
                self.slow -= 1
                size = str(len(SLOW_DOWN)).encode()
                client.sendall(
                    b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Type: application/xml\r\n"
                    b"Content-Length: " + size + b"\r\n\r\n" + SLOW_DOWN
                )
                return
            budget = None
            if self.cut and head.startswith((b"PUT", b"POST")):
                self.cut -= 1
                budget = self.cut_after
            # One request a line, so that each can have its own fate.
            head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            with socket.create_connection(self._store) as store:
                store.sendall(head)
                back = threading.Thread(target=pump, args=(store, client, None), daemon=True)
                back.start()
                pump(client, store, budget)
                if budget is None:
                    back.join()


def pump(source: socket.socket, target: socket.socket, budget: int | None) -> None:
    """Copy bytes until either end is over, or so many have gone through."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
            if budget is not None:
                budget -= len(data)
                if budget < 0:
                    source.shutdown(socket.SHUT_RDWR)
                    return
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def root(object_store) -> Root:
    return Root.from_url(f"{object_store}/{uuid.uuid4().hex}")


@pytest.fixture
def line(object_store, monkeypatch) -> Iterator[Line]:
    import os

    line = Line(os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
    S3FileSystem.clear_instance_cache()
    yield line
    S3FileSystem.clear_instance_cache()
    line.close()


def test_files_and_tables(root):
    """What was written is read back; folders need not be made."""
    table = pa.table({"key": ["1", "2"]})
    root.write_table("media/00000.parquet", table)
    root.write("media/00000.tar", b"bytes")

    assert ["00000.parquet", "00000.tar"] == root.list_names("media")
    assert table == root.read_table("media/00000.parquet")
    assert (5, b"bytes") == (root.get_size("media/00000.tar"), root.read("media/00000.tar"))
    assert [] == root.list_names("nothing")
    assert not root.exists("nothing")


@pytest.mark.slow
def test_ten_thousand_objects_are_listed(root):
    """Ten pages of a thousand, in order, none twice; a listing is never an old one."""
    from moto.s3.models import s3_backends

    bucket, _, prefix = root.url.removeprefix("s3://").partition("/")
    backend = s3_backends["123456789012"]["aws"]
    for number in range(10_000):
        backend.put_object(bucket, f"{prefix}/media/{number:05d}.tar", b"")
    listed = root.list_names("media", ".tar")
    root.write("media/10000.tar", b"")

    assert [f"{number:05d}.tar" for number in range(10_000)] == listed
    assert 10_001 == len(root.list_names("media"))


def test_slow_down_is_obeyed(line, root):
    """Three answers of 503 SlowDown delay a write and a listing, and nothing else."""
    line.slow = 3
    root.write("media/00000.tar", b"bytes")
    line.slow = 3
    listed = root.list_names("media")

    assert ["00000.tar"] == listed
    assert b"bytes" == root.read("media/00000.tar")
    assert 0 == line.slow


def test_an_upload_that_is_cut_is_sent_again(line, root):
    """Twice the line breaks after 1 of 8 MB; the object is whole."""
    line.cut = 2
    root.write("media/00000.tar", bytes(8 * 2**20))

    assert 0 == line.cut
    assert 8 * 2**20 == root.get_size("media/00000.tar")


@pytest.mark.slow
def test_an_upload_in_parts_that_is_cut_is_sent_again(line, root, tmp_path):
    """Over 100 MB an object goes up in parts; one of them is cut, and the object is whole all the same."""
    line.cut, line.cut_after = 2, 30 * 2**20
    data = b"0123456789abcdef" * (110 * 2**16)
    root.write("media/00000.tar", data)

    assert 0 == line.cut
    assert len(data) == root.get_size("media/00000.tar")
    assert data[-100:] == root.read("media/00000.tar")[-100:]


def test_an_upload_that_is_always_cut_leaves_nothing(line, root, monkeypatch):
    """One sentence, and no half of an object under its name."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    line.cut = 1000
    with pytest.raises(StorageError, match=r"cannot be written .*; see that it answers"):
        root.write("media/00000.tar", bytes(8 * 2**20))
    line.cut = 0

    assert [] == root.list_names("media")


def test_a_store_that_always_says_slow_down_is_one_sentence(line, root, monkeypatch):
    """After the retries it is said, and the job can be started again."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    line.slow = 1000
    with pytest.raises(StorageError, match=r"cannot be read .*reduce your request rate"):
        root.read("dataset.json")


def test_nothing_is_left_in_the_temporary_folder(root, tmp_path, monkeypatch):
    """What goes up is gone from this machine."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root.write("media/00000.tar", b"bytes")
    with pytest.raises(RuntimeError), root.write_atomically("media/00001.tar") as path:
        path.write_bytes(b"half")
        raise RuntimeError

    assert [] == list(tmp_path.iterdir())
    assert ["00000.tar"] == root.list_names("media")
