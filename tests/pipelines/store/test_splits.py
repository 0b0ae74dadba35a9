"""Held-out rows are those of their URL, for every task."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import StorageError
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.split_groups import find_parts
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from schemas.candidate import CANDIDATE, format_key
from schemas.training import SplitSettings
from tests.pipelines.store.parts import find_part

ROWS = 30
EXPECTED = "0010200002000002100000212000002010011000"
SPLIT = SplitSettings(validation=0.2, test=0.3)


@pytest.fixture
def candidates(tmp_path):
    """A root of two shards of 30 candidates, three behind each URL."""
    root = Root.from_url(str(tmp_path))
    for number in range(2):
        rows = [
            {"url": f"http://host/{number * 10 + row // 3}", "caption": "", "licence": "unknown", "id": ""}
            | {"source": "wit", "source_row": row, "kind": "image", "lane": "web"}
            for row in range(ROWS)
        ]
        root.write_table(f"candidates/{number:05d}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
    return root, [Shard(number, "image", "web", ROWS) for number in range(2)]


def test_parts_never_change():
    """A version that is trained on later holds out the same URLs; these were computed when it was begun."""
    parts = [find_part(f"http://host/{number}.jpg", SplitSettings()) for number in range(40)]

    assert EXPECTED == "".join(map(str, parts))


def test_rows_have_the_part_of_their_url(candidates):
    """Whatever rows are asked for; rows of one URL are never on two sides."""
    root, shards = candidates
    keys_N = np.array([int(format_key(number, row, ROWS)) for number in (0, 1) for row in range(ROWS)])
    part_N = find_parts(root, shards, ROWS, keys_N, SPLIT)
    expected = [find_part(f"http://host/{row // 3}", SPLIT) for row in range(2 * ROWS)]

    assert expected == part_N.tolist()
    assert {TRAIN, VALIDATION, TEST} == set(expected)
    assert expected[5:50:7] == find_parts(root, shards, ROWS, keys_N[5:50:7], SPLIT).tolist()
    assert 0 == len(find_parts(root, shards, ROWS, keys_N[:0], SPLIT))


def test_rows_without_candidates_are_refused(candidates):
    """A key of no shard, a shard without its table, a table that is too short."""
    root, shards = candidates
    with pytest.raises(StorageError, match="1 of 2 keys are in no shard"):
        find_parts(root, shards, ROWS, np.array([3, 777]), SPLIT)
    with pytest.raises(StorageError, match="has 30 rows, and 40 are planned"):
        find_parts(root, [Shard(0, "image", "web", 40)], ROWS, np.array([35]), SPLIT)
    root.remove("candidates/00001.parquet")
    with pytest.raises(StorageError, match=r"has no candidates/00001\.parquet"):
        find_parts(root, shards, ROWS, np.array([3, 104]), SPLIT)
