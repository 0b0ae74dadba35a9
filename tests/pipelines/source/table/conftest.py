import pyarrow.parquet as pq
import pytest

from pipelines.compute import child_process
from pipelines.fetch.stages import FetchClips, FetchImages
from pipelines.source.plan import make_plan
from pipelines.source.registry import find_origins
from pipelines.store.root import Root
from pipelines.store.shards import commit_media, list_planned, read_candidates
from schemas.dataset import Dataset


@pytest.fixture(autouse=True)
def here():
    """Plan in this process: a child would load everything again."""
    with child_process.use_this_process():
        yield


@pytest.fixture
def describe(tmp_path):
    """Return the dataset of one table, which is the content of its file."""

    def make(name, **keys):
        place = name if "://" in name else str(tmp_path / name)
        source = {"kind": "table", "list": place} | keys
        return Dataset.model_validate(
            {"name": "a", "root": str(tmp_path / "root"), "sources": [source], "contact": "me@a.example"}
        )

    return make


@pytest.fixture
def plan(tmp_path, describe):
    """Plan one table; return the counts, and the rows of all tables of the plan."""

    def make(name, **keys):
        dataset = describe(name, **keys)
        counts = make_plan(dataset, Root.from_url(dataset.root))
        files = sorted((tmp_path / "root/candidates").glob("*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        rejects = pq.read_table(tmp_path / "root/plan/rejects.parquet").to_pylist()
        return counts, sorted(rows, key=lambda row: row["source_row"]), rejects

    return make


@pytest.fixture
def fetch(tmp_path, describe):
    """Fetch the rows of a table that is planned, without Ray; return them with their media, in its order."""

    def run(name, **keys):
        dataset = describe(name, **keys)
        origins = find_origins(dataset)
        root, found = Root.from_url(dataset.root), []
        for shard in list_planned(root):
            stage = FetchImages if shard.kind == "image" else FetchClips
            work = stage(dataset.fetch, None, origins).open()
            try:
                batch = work(read_candidates(root, shard, dataset.shard_rows))
                commit_media(root, shard, batch, 0.0)
            finally:
                work.close()
            found += [{key: values[row] for key, values in batch.items()} for row in range(len(batch["key"]))]
        return sorted(found, key=lambda row: row["source_row"])

    return run
