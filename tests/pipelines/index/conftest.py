"""Vector tables of random vectors, committed as encode commits them."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.compute import cpu
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from schemas.candidate import format_key
from schemas.families import get_family
from schemas.space import Space
from schemas.version import TOMBSTONE

SPACE = Space(
    encoder="test:random",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=16,
)


def unit(vectors_ND):
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


@pytest.fixture(scope="session", autouse=True)
def one_thread_of_faiss():
    """Threads that wait for each other on a busy machine take ten times as long."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "count_cpus", lambda: 1)
        yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def space():
    """Of all vectors here, but for its dimensions."""
    return SPACE


def make_space(column, dims):
    """Return the space of a column: CLIP's columns are in one, CLAP's in another."""
    return SPACE.model_copy(update={"dims": dims, "encoder": f"{SPACE.encoder}-{get_family(column)}"})


@pytest.fixture
def stored(tmp_path):
    """Commit vectors, float [N, D], as shards of pictures; return the root and the shards."""

    def store(shard_rows=1000, spaces=(), **columns):
        root = Root.from_url(str(tmp_path))
        rows = len(next(iter(columns.values())))
        shards = []
        for number, start in enumerate(range(0, rows, shard_rows)):
            part = {column: vectors[start : start + shard_rows] for column, vectors in columns.items()}
            shard = Shard(number, "image", "web", len(next(iter(part.values()))))
            spaces_here = (
                spaces[number]
                if spaces
                else {column: make_space(column, len(vectors[-1])) for column, vectors in part.items()}
            )
            commit_vectors(root, "main", shard, spaces_here, [batch_of(shard, part, shard_rows)])
            shards.append(shard)
        return root, shards

    return store


def batch_of(shard, part, shard_rows):
    rows = range(shard.rows)
    batch = {
        "key": [format_key(shard.number, row, shard_rows) for row in rows],
        "id": [f"{shard.number:08d}{row:024d}" for row in rows],
        "kind": ["image" for _ in rows],
        "source": ["cc3m" for _ in rows],
        "outcome": ["ok" for _ in rows],
        "reason": ["" for _ in rows],
    }
    for column, vectors in part.items():
        batch[column] = [None if vector is None else np.asarray(vector, np.float16) for vector in vectors]
        batch[f"{column}_norm"] = [None if vector is None else 1.0 for vector in vectors]
    return batch


@pytest.fixture
def gone():
    """Tombstones of some keys."""

    def make(*keys):
        rows = [{"key": key, "outcome": "dead", "reason": "http_404", "same_as": None} for key in keys]
        return pa.Table.from_pylist(rows, schema=TOMBSTONE)

    return make


@pytest.fixture
def drawn():
    """Draw unit vectors, float32 [N, D], as float16 keeps them."""

    def draw(rows, dims=16, seed=0):
        normal_ND = np.random.default_rng(seed).standard_normal((rows, dims))
        return unit(normal_ND).astype(np.float16).astype(np.float32)

    return draw
