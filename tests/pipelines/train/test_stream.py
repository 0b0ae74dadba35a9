"""Media streams: the same batches for any number of workers, from any step on, and nothing left out."""

import pickle
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import CancelledError
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from pipelines.train.distributed import WorkerGroup
from pipelines.train.stream import MediaStream
from tests.by_hand import damage
from tests.pipelines.train.media_world import CLIPS, SHOWN, find_keys, link

BATCH, LANES, BUFFER = 16, 8, 6


def make_stream(world, version=1, members=("jpg",), **settings):
    return MediaStream(world.at(), version, members, **({"batch": BATCH, "buffer": BUFFER} | settings))


def read_steps(stream, steps, group=None):
    """Return (key, epoch) of every row of steps."""
    with stream.open(lambda sample: (sample.key, sample.epoch), group) as reader:
        return [reader.read_batch(step) for step in steps]


def count_steps(stream):
    with stream.open(lambda sample: sample) as reader:
        return reader.steps_per_epoch


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_batches_do_not_depend_on_the_workers(media_world, workers):
    """The workers' parts, joined by rank, are the batch of one worker: over more than two epochs."""
    stream = make_stream(media_world)
    steps = range(2 * count_steps(stream) + 3)
    parts = [read_steps(stream, steps, WorkerGroup(rank, workers)) for rank in range(workers)]
    joined = [[*chain(*batch)] for batch in zip(*parts, strict=True)]

    assert read_steps(stream, steps) == joined
    assert {BATCH} == {len(batch) for batch in joined}


@pytest.mark.parametrize("version", [1, 2])
def test_every_row_comes_once_an_epoch(media_world, version):
    """Dead, double and unlisted rows never come, each other row once in an epoch of its lane."""
    stream = make_stream(media_world, version)
    steps = count_steps(stream)
    with stream.open(lambda sample: sample) as reader:
        samples = [sample for step in range(3 * steps) for sample in reader.read_batch(step)]
    first, second = ([each.media["jpg"].decode() for each in samples if each.epoch == n] for n in (0, 1))

    assert {link(number) for number in SHOWN[version]} == set(first)
    assert len(SHOWN[version]) == len(first)
    assert sorted(first) == sorted(second)
    assert first != second
    assert -(-len(first) // BATCH) == steps


def test_a_step_has_rows_of_every_lane(media_world):
    """Lanes are neighbouring rows, as long as each other but for one row, and give equally many each."""
    stream = make_stream(media_world)
    lanes = stream.read_lanes()
    lane_of = {key: lane.number for lane in lanes for piece in lane.pieces for key in piece.keys_N.tolist()}
    batches = read_steps(stream, range(30))

    assert LANES == len(lanes)
    assert max(lane.count for lane in lanes) - min(lane.count for lane in lanes) <= 1
    assert [*lane_of] == sorted(lane_of)
    assert all([lane_of[key] for key, _ in batch] == [n // 2 for n in range(BATCH)] for batch in batches)


def test_the_seed_and_the_buffer_decide_the_order(media_world):
    """A description gives the same order wherever it is sent; a buffer of one row gives that of the tars."""
    streams = [make_stream(media_world, **settings) for settings in ({}, {}, {"seed": 1}, {"buffer": 1})]
    orders = [read_steps(pickle.loads(pickle.dumps(stream)), range(5)) for stream in streams]
    unshuffled = [key for batch in orders[3] for key, _ in batch[:2]]

    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sum(np.diff(unshuffled) == 1) >= len(unshuffled) - 2


@pytest.mark.parametrize("step", [1, 2, 5, 11, 13, 20])
def test_a_stream_resumes_at_any_step(media_world, step):
    """It goes on as if it had not ended, and reads less than a buffer a lane again."""
    stream, end = make_stream(media_world), 26

    def read_to_the_end(begin):
        with stream.open(lambda sample: sample.key) as reader:
            batches = [reader.read_batch(number) for number in range(begin, end)]
            for _, ahead in reader._ahead:
                ahead.result()
            return batches, reader.rows_read

    whole, all_rows = read_to_the_end(0)
    rest, rows = read_to_the_end(step)
    read_again = step * BATCH - (all_rows - rows)

    assert whole[step:] == rest
    assert 0 <= read_again <= LANES * (BUFFER - 1)


def test_a_jump_moves_the_stream(media_world):
    """Back, forth, and the same step once more: always that step's batch."""
    stream = make_stream(media_world)
    whole = read_steps(stream, range(30))
    jumps = [7, 8, 3, 3, 29, 0, 1, 8]

    assert [whole[step] for step in jumps] == read_steps(stream, jumps)


@pytest.mark.parametrize("rows", [LANES, 11, 19])
def test_one_small_shard_is_enough(media_world, rows):
    """Fewer shards than lanes: the rows of a shard are cut into lanes, too."""
    keys = find_keys(media_world, "clip_image")[-rows:]
    stream = make_stream(media_world, members=("0.jpg",), keys=keys)
    batches = read_steps(stream, range(40))
    seen = Counter(key for batch in batches for key, epoch in batch if epoch < 2)

    assert dict.fromkeys(keys.tolist(), 2) == seen
    assert 1 == len({piece.shard for lane in stream.read_lanes() for piece in lane.pieces})


def test_rows_and_members_can_be_chosen(media_world):
    """Clips have several members; a stream of keys has these keys alone."""
    keys = find_keys(media_world, "clap_audio")
    stream = make_stream(media_world, members=("flac", "2.jpg"), keys=keys[::2])
    with stream.open(lambda sample: sample) as reader:
        samples = reader.read_batch(0) + reader.read_batch(1)

    assert CLIPS == len(keys)
    assert {("flac", "2.jpg")} == {tuple(sample.media) for sample in samples}
    assert all(sample.media["flac"].startswith(b"http://127.0.0.1/id0") for sample in samples)
    assert {sample.key for sample in samples} == set(keys[::2].tolist())


def test_a_row_that_could_not_be_encoded_is_only_taken_if_asked_for(own_media):
    """Its tar has it, and most often it cannot be decoded."""
    root, name = own_media.at(), "vectors/main/00000.parquet"
    table = root.read_table(name)
    failed = int(table["key"][0].as_py())
    outcomes = pa.array(["invalid", *table["outcome"].to_pylist()[1:]])
    root.write_table(name, table.set_column(table.column_names.index("outcome"), "outcome", outcomes))
    streams = [make_stream(own_media, keys=keys) for keys in (None, find_keys(own_media, "clip_image"))]
    without, with_it = (
        {key for batch in read_steps(stream, range(count_steps(stream))) for key, _ in batch}
        for stream in streams
    )

    assert {failed} == with_it - without
    assert len(SHOWN[1]) == len(with_it)


def test_memory_is_bounded_by_rows_and_by_bytes(media_world):
    """No lane ever holds more than a buffer; large samples make it smaller."""
    stream = make_stream(media_world)
    held = 0
    with stream.open(lambda sample: sample.key) as reader:
        for step in range(40):
            reader.read_batch(step)
            held = max(held, *(len(lane._samples) for lane in reader._lanes))
    sample_bytes = stream.read_lanes()[0].pieces[0].row_bytes
    smaller = make_stream(media_world, buffer_bytes=3 * sample_bytes + 100)

    assert 0 < held <= BUFFER
    assert 3 == smaller.read_lanes()[0].block_rows
    assert 1 == make_stream(media_world, buffer_bytes=1).read_lanes()[0].block_rows


def test_reading_is_two_steps_ahead_and_no_further(media_world):
    """The next two steps are decoded without being asked for."""
    decoded = Counter()
    with make_stream(media_world).open(lambda sample: decoded.update([sample.epoch])) as reader:
        reader.read_batch(0)
        deadline = time.monotonic() + 10
        while decoded.total() < 3 * BATCH and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)

        assert 3 * BATCH == decoded.total()


def test_closing_ends_the_threads(media_world):
    """Of what is read and decoded ahead, only what is under way is waited for."""
    before, begun = set(threading.enumerate()), threading.Event()

    def decode(_):
        begun.set()
        time.sleep(0.02)

    reader = make_stream(media_world, batch=800).open(decode)

    def ask():
        with pytest.raises(CancelledError):
            reader.read_batch(0)

    asking = threading.Thread(target=ask)
    asking.start()
    begun.wait(10)
    started = time.monotonic()
    reader.close()
    asking.join(5)

    assert time.monotonic() - started < 2  # 800 rows would take 8 s on two cores
    assert set(threading.enumerate()) == before


def test_what_cannot_be_decoded_is_named(media_world):
    """An unreadable sample is one sentence; an error of `decode` itself stays what it is, with the key."""

    def refuse(error):
        def decode(sample):
            raise error(f"no picture: {len(sample.media['jpg'])}")

        with make_stream(media_world).open(decode) as reader:
            reader.read_batch(0)

    with pytest.raises(StorageError, match=r"^the sample \d+ in media/00000.tar cannot be decoded \(no pic"):
        refuse(OSError)
    with pytest.raises(ZeroDivisionError) as caught:
        refuse(ZeroDivisionError)

    assert "while decoding jpg of key" in caught.value.__notes__[0]


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_damaged_tar_is_named(own_media, how):
    """Steps before it are read; its own step says which file it is, however often it is asked for."""
    settings = {"buffer": 1, "lanes": 1, "batch": 4}
    whole = read_steps(make_stream(own_media, **settings), range(40))
    damage(own_media.at(), "media/00004.tar", how)
    read = []
    with make_stream(own_media, **settings).open(lambda sample: (sample.key, sample.epoch)) as reader:
        with pytest.raises(StorageError, match=r"media/00004.tar is damaged: it"):
            for step in range(40):
                read.append(reader.read_batch(step))  # noqa: PERF401 - what was read counts
        with pytest.raises(StorageError, match=r"media/00004.tar is damaged: it"):
            reader.read_batch(len(read))

    assert whole[: len(read)] == read
    assert len(read) < 40


@pytest.mark.parametrize(
    ("settings", "workers", "sentence"),
    [
        ({}, 3, "8 lanes cannot be divided among 3 workers; take a number"),
        ({"batch": 12}, 1, "a batch of 12 cannot be divided among 8 lanes"),
        ({"buffer": 0}, 1, "buffers of 0 rows"),
        (
            {"members": ("jpg", "flac")},
            1,
            "no kind of rows has the members jpg and flac; name members of one",
        ),
        ({"members": ()}, 1, "no kind of rows has the members none"),
        ({"keys": np.arange(7)}, 1, r"has \d usable rows with jpg, fewer than the 8 lanes"),
        ({"lanes": 300, "batch": 300}, 1, "has 196 usable rows with jpg, fewer than the 300 lanes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_streamed_is_refused(media_world, settings, workers, sentence):
    """In one sentence, before anything is read."""
    with pytest.raises(ConfigError, match=sentence):
        make_stream(media_world, **settings).open(lambda sample: sample, WorkerGroup(0, workers))


@pytest.mark.parametrize("scheme", ["memory", "s3"])
def test_a_stream_comes_from_an_object_store(media_world, scheme, request):
    """The same batches as from a disk; a tar that is not there is named."""
    place = request.getfixturevalue("object_store") if scheme == "s3" else "memory://stream"
    root = Root.from_url(f"{place}/{uuid.uuid4().hex}")
    local = Path(media_world.at().url)
    for folder in ("versions", "media", "vectors/main"):
        for path in (local / folder).iterdir():
            root.write(f"{folder}/{path.name}", path.read_bytes())
    with (
        MediaStream(root, 2, ("jpg",), BATCH, buffer=BUFFER).open(lambda sample: sample) as far,
        make_stream(media_world, 2).open(lambda sample: sample) as near,
    ):
        for step in (0, 1, 2, 9, 10, 3):
            assert near.read_batch(step) == far.read_batch(step)
    root.remove("media/00002.tar")

    with (
        MediaStream(root, 2, ("jpg",), BATCH, buffer=BUFFER).open(lambda sample: sample) as far,
        pytest.raises(StorageError, match=r"media/00002.tar is damaged: it is missing"),
    ):
        for step in range(far.steps_per_epoch):
            far.read_batch(step)
