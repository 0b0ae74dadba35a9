"""Members of a shard's tar are streamed by their keys; others are skipped, and what is amiss is named."""

import io
from dataclasses import dataclass, field

import pytest

from pipelines.errors import StorageError
from pipelines.store.media_members import iterate_members
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.tar import write_tar
from schemas.candidate import format_key

ROWS = 12
SHARD = Shard(3, "clip", "web", ROWS)
KEYS = [int(format_key(3, row, ROWS)) for row in range(ROWS) if row != 5]
SOUND_BYTES = 100_000


@dataclass(frozen=True)
class CountingRoot(Root):
    """A root that counts the bytes that are read."""

    read_bytes: list[int] = field(default_factory=list)

    def open(self, name, request_bytes=None):
        """Open a file whose reads are counted, without a buffer."""
        file = io.FileIO(self.get_path(name))
        counted, read = self.read_bytes, file.read

        class Counted:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            seek = staticmethod(file.seek)

            @staticmethod
            def read(size):
                counted.append(size)
                return read(size)

        return Counted()


def list_members(change=lambda members: members):
    """Return the members of the shard: a large sound and two small pictures each."""
    made = {}
    for key in KEYS:
        name = format_key(3, key % 100, ROWS)
        made[f"{name}.0.jpg"] = f"first of {key}".encode() * (key % 50)
        made[f"{name}.1.jpg"] = f"second of {key}".encode()
        made[f"{name}.flac"] = bytes(SOUND_BYTES)
    return list(change(made).items())


@pytest.fixture
def make_root(tmp_path):
    """Write the shard's tar."""

    def make(change=lambda members: members):
        root = Root.from_url(str(tmp_path))
        with root.write_atomically("media/00003.tar") as path:
            write_tar(path, list_members(change))
        return CountingRoot(root.url)

    return make


@pytest.mark.parametrize("keys", [KEYS, KEYS[3:], KEYS[1::4], KEYS[-1:], []], ids=len)
@pytest.mark.parametrize("members", [("0.jpg",), ("flac", "1.jpg")])
def test_members_are_those_of_their_keys(make_root, keys, members):
    """Of some samples or of all, with the bytes that were written, in the order of the keys."""
    root, written = make_root(), dict(list_members())
    found = list(iterate_members(root, SHARD, keys, members))

    expected = [
        {name: written[f"{format_key(3, key % 100, ROWS)}.{name}"] for name in members} for key in keys
    ]
    assert expected == found


def test_other_members_are_not_read(make_root):
    """Of eleven sounds of 100 kB none is read for the pictures, and one for one clip's sound."""
    pictures, sound = make_root(), make_root()
    assert len(KEYS) == len(list(iterate_members(pictures, SHARD, KEYS, ("0.jpg", "1.jpg"))))
    assert 1 == len(list(iterate_members(sound, SHARD, KEYS[7:8], ("flac",))))

    assert sum(pictures.read_bytes) < 60_000
    assert SOUND_BYTES < sum(sound.read_bytes) < SOUND_BYTES + 30_000


def without(name):
    return lambda members: {each: data for each, data in members.items() if name not in each}


def renamed(name):
    return lambda members: {("other.jpg" if name in each else each): data for each, data in members.items()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            without("0000307."),
            "media/00003.tar is damaged: it lacks the sample 307 of its table; remove media",
        ),
        (without("0000311."), "it lacks the sample 311 of its table"),
        (without("307.0.jpg"), "its sample 307 lacks 0.jpg"),
        (renamed("304.flac"), "its member other.jpg has no key"),
    ],
    ids=["sample", "last-sample", "member", "name"],
)
def test_what_the_table_promises_and_the_tar_lacks_is_named(make_root, change, sentence):
    """Samples before it are yielded; nothing is skipped in silence."""
    root = make_root(change)
    found = iterate_members(root, SHARD, KEYS, ("0.jpg", "1.jpg"))

    assert {"0.jpg", "1.jpg"} == next(found).keys()
    with pytest.raises(StorageError, match=sentence):
        list(found)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[: len(data) // 2], "it ends within|its end is missing"),
        (lambda data: data[:1000], "it ends within|its end is missing"),
        (lambda data: b"", "its end is missing"),
        (lambda data: data[:3] + b"x" + data[4:], "its byte 0 begins no member that Echolens writes"),
        (lambda data: b"\x1f\x8b" + data[2:], "its byte 0 begins no member that Echolens writes"),
        (lambda data: data[:124] + b"zzz" + data[127:], "its byte 0 begins no member"),
        (lambda data: bytes(1024) + data, "it lacks the sample 300 of its table"),
    ],
    ids=["half", "short", "empty", "flipped", "gzip", "size", "end-first"],
)
def test_a_damaged_tar_is_named(make_root, damage, sentence):
    """A tar that ends too early, or is none, is one sentence."""
    root = make_root()
    root.write("media/00003.tar", damage(root.read("media/00003.tar")))

    with pytest.raises(StorageError, match=f"media/00003.tar is damaged: ({sentence})"):
        list(iterate_members(root, SHARD, KEYS, ("flac",)))


def test_a_missing_tar_is_named(tmp_path):
    """It was committed, so it was removed since."""
    with pytest.raises(
        StorageError, match=r"media/00003.tar is damaged: it is missing; remove media/00003_stats"
    ):
        list(iterate_members(Root.from_url(str(tmp_path)), SHARD, KEYS, ("flac",)))
