"""Of several writers exactly one wins, in a folder and on s3:// over real HTTP."""

import threading
import uuid
from pathlib import Path

import pytest

from pipelines.store.root import Root


@pytest.fixture
def root(tmp_path):
    return Root.from_url(str(tmp_path / "data"))


@pytest.fixture
def bucket(object_store):
    return Root.from_url(f"{object_store}/{uuid.uuid4().hex}")


def test_create_is_exclusive(root):
    """Of many that create one file at once, exactly one does."""
    made = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(root.create("versions/0001.json", b"%d" % n)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(made) == 1
    assert sorted(path.name for path in Path(f"{root.url}/versions").iterdir()) == ["0001.json"]


def test_replace_if_is_compare_and_swap(root):
    """Only the expected bytes are replaced, and only where there is a file."""
    root.write("lease.json", b"mine")

    assert not root.replace_if("lease.json", b"theirs", expected=b"other")
    assert root.replace_if("lease.json", b"theirs", expected=b"mine")
    assert b"theirs" == root.read("lease.json")
    assert not root.replace_if("nothing.json", b"theirs", expected=b"")


def test_of_many_that_replace_one_wins(root):
    """Whoever loses sees that it lost; nothing but the file is left."""
    root.write("lease.json", b"first")
    won = []
    threads = [
        threading.Thread(target=lambda n=n: won.append(root.replace_if("lease.json", b"%d" % n, b"first")))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == sum(won)
    assert ["lease.json"] == [path.name for path in Path(root.url).iterdir()]


def at_once(work) -> list[bool]:
    won: list[bool | None] = [None] * 8
    start = threading.Barrier(8)

    def one(n: int) -> None:
        start.wait()
        won[n] = work(n)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_creating_an_object_is_exclusive(bucket):
    """If-None-Match: of many that create one object at once, exactly one does."""
    won = at_once(lambda n: bucket.create("versions/0001.json", b"%d" % n))

    assert 1 == sum(won)
    assert bucket.read("versions/0001.json") == b"%d" % won.index(True)


def test_replacing_an_object_is_compare_and_swap(bucket):
    """If-Match: of many that replace the same bytes, exactly one does, and a missing object stays so."""
    bucket.write("lease.json", b"first")
    won = at_once(lambda n: bucket.replace_if("lease.json", b"%d" % n, b"first"))

    assert 1 == sum(won)
    assert bucket.read("lease.json") == b"%d" % won.index(True)
    assert not bucket.replace_if("lease.json", b"late", b"first")
    assert not bucket.replace_if("nothing.json", b"1", b"")


def test_an_answer_that_is_lost_is_no_other_writer(bucket):
    """A create whose answer never came is repeated, and meets its own object."""
    assert bucket.create("versions/0001.json", b"mine")
    assert bucket.create("versions/0001.json", b"mine")
    assert not bucket.create("versions/0001.json", b"other")
