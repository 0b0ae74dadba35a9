import math

import pytest

from schemas.candidate import CANDIDATE, format_key, parse_key, parse_shard
from schemas.sample import SAMPLE

RESERVED_BY_IMG2DATASET = {
    "key", "status", "error_message", "width", "height", "original_width", "original_height", "exif",
    "sha256", "md5", "sha512",
}  # fmt: skip


@pytest.mark.parametrize("shard_rows", [1, 2, 10, 99, 100, 101, 1000, 1001, 10_000])
@pytest.mark.parametrize("shard", [0, 1, 12_345])
def test_key_is_img2datasets(shard, shard_rows):
    """A key is img2dataset's own formula, and leads back to its shard and row."""
    digits = math.ceil(math.log10(shard_rows))
    for row in {0, shard_rows // 2, shard_rows - 1}:
        key = format_key(shard, row, shard_rows)

        assert f"{10**digits * shard + row:0{digits + 5}d}" == key
        assert (shard, row) == parse_key(key, shard_rows)
        assert (shard, row) == parse_key(int(key), shard_rows)


@pytest.mark.parametrize(
    ("name", "shard"),
    [
        pytest.param("00007.tar", 7, id="tar"),
        pytest.param("00007_stats.json", 7, id="stats"),
        pytest.param("100007.parquet", 100_007, id="six-digits"),
        pytest.param("_SUCCESS", None, id="of-no-shard"),
        pytest.param("notes.txt", None, id="of-a-person"),
    ],
)
def test_a_file_name_leads_to_its_shard(name, shard):
    """Beyond 99,999 shards, too: ten thousand and a hundred thousand are not mistaken for each other."""
    assert shard == parse_shard(name)


def test_img2dataset_can_read_candidates():
    """The candidate table has none of the names that img2dataset reserves; the sample table has them all."""
    assert not RESERVED_BY_IMG2DATASET & set(CANDIDATE.names)
    assert RESERVED_BY_IMG2DATASET - {"md5", "sha512"} <= set(SAMPLE.names)
