"""Sounds by the shard: every prompt accounted for, the same bytes whatever happened on the way."""

import hashlib
import io
import json
import tarfile

import soundfile

from pipelines.generate.output import read_samples
from pipelines.run.runner import Runner
from schemas.generated import GENERATED
from tests.pipelines.generate.making_sounds import files, rows, step


def test_a_shard_is_sounds_and_a_table(six):
    """Each row has its sound in the tar, beside what the table says of it; keys are of shard and row."""
    made, table = six
    shards = made.prompts.read_shards()
    members = {}
    for shard in shards:
        with tarfile.open(fileobj=io.BytesIO(made.root.read(f"{made.folder}/{shard.name}.tar"))) as tar:
            members |= {info.name: tar.extractfile(info).read() for info in tar}

    assert [4, 2] == [shard.rows for shard in shards]
    assert ["000000", "000001", "000002", "000003", "000010", "000011"] == [row["key"] for row in table]
    for row in table:
        sound = members[f"{row['key']}.flac"]
        wave_T, rate_hz = soundfile.read(io.BytesIO(sound))
        assert (1_600, 800, 0.5) == (rate_hz, len(wave_T), row["length_s"])
        assert row["sha256"] == hashlib.sha256(sound).hexdigest()
        assert row == json.loads(members[f"{row['key']}.json"])
        assert ("ok", "tiny", 2, None) == (
            row["outcome"],
            row["generator"],
            json.loads(row["params"])["steps"],
            row["translator"],
        )
    assert 12 == len(members)
    assert GENERATED.names == list(table[0])
    assert [key for shard in shards for key, _ in read_samples(made.root, "toy", shard)] == [
        row["key"] for row in table
    ]


def test_a_killed_run_ends_in_the_same_bytes(plain, chosen, tmp_path):
    """With the second shard's table gone, and its tar half written, only that shard is made again."""
    whole = files(plain[0])
    made = step(tmp_path, chosen, rows(6), judged=False)
    first, second = made.prompts.read_shards()
    made.root.write(f"{made.folder}/{second.name}.tar", b"cut")
    Runner(made).run(first)
    assert frozenset({0}) == made.find_committed([0, 1])
    assert not Runner(made).run(first)
    Runner(made).run(second)

    assert whole == files(made)
