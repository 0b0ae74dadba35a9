"""An index that is well formed and lies: its ids are those of no rows, its vectors are no numbers."""

import json
import shutil
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.shared.job import load
from pipelines.errors import StorageError
from pipelines.lookup.search import Lookup
from pipelines.store import versions
from pipelines.store.root import Root
from schemas.query import Query
from tests.fuzz.fuzzed_root import KEPT

INDEX = "indices/main/0002/clip_image"
KEY = "0000200"


@pytest.fixture
def root(tmp_path):
    shutil.copytree(KEPT, tmp_path / "root")
    return Root.from_url(str(tmp_path / "root"))


def replace_index(root, ids, value=None):
    """Write an index with the vectors of the old one, or of one value, under other ids."""
    path = Path(root.get_path(f"{INDEX}.faiss"))
    old = faiss.read_index(str(path))
    rows = faiss.downcast_index(old.index).reconstruct_n(0, old.ntotal)
    if value is not None:
        rows[:] = value
    new = faiss.IndexIDMap2(faiss.IndexFlatIP(rows.shape[1]))
    new.add_with_ids(rows, np.resize(np.array(ids, np.int64), len(rows)))
    faiss.write_index(new, str(path))
    card = json.loads(root.read(f"{INDEX}.json"))
    root.write_json(f"{INDEX}.json", card | {"bytes": path.stat().st_size})


def ask(root, **how):
    dataset = load(root.url)
    lookup = Lookup.open(root, dataset, versions.read_current(root, "main"))
    return lookup.answer(Query(key=KEY, into="clip_image", k=3, **how))


@pytest.mark.parametrize("how", [{}, {"vectors": True}, {"distinct": True}], ids=str)
@pytest.mark.parametrize("ids", [[2**62], [99_999 * 100], [299], [10**11], [200, 299]], ids=str)
def test_ids_of_no_row(root, ids, how):
    """Beyond all shards, beyond a shard's rows, beyond any number."""
    replace_index(root, ids)
    with pytest.raises(StorageError, match=r"an index of .* has "):
        ask(root, **how)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_no_numbers(root, value):
    """They are no neighbours, and JSON has no word for their scores."""
    replace_index(root, [200, 201], value)

    assert () == ask(root).hits


def test_a_version_that_hides_an_endless_key(root):
    """A bitmap of all keys up to it would take 125 petabytes."""
    table = pq.read_table(root.get_path("versions/0002.tombstones.parquet"))
    rows = [{"key": "999999999999999999", "outcome": "dead", "reason": "http_404", "same_as": None}]
    root.write_table("versions/0002.tombstones.parquet", type(table).from_pylist(rows, schema=table.schema))

    assert ask(root).hits


def test_a_table_with_fewer_rows(root):
    """As many as the version says, or one sentence."""
    table = root.read_table("candidates/00002.parquet")
    root.write_table("candidates/00002.parquet", table.slice(0, 1))
    with pytest.raises(StorageError, match="has 1 rows, and the version says"):
        ask(root)
