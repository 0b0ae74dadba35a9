"""What test_speed.py runs, each in a process of its own: `python speed.py WHAT ROOT ROWS`.

Each prints one object. Shapes: N rows, D dimensions.
"""

import datetime as dt
import json
import resource
import sys
import time

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.root import Root
from pipelines.store.shards import ROW, Shard, get_vectors_marker
from schemas.candidate import CANDIDATE, format_key
from schemas.dataset import Dataset, Index
from schemas.space import Space
from schemas.vectors import make_vectors_schema
from schemas.version import TOMBSTONE, VERSION_SHARD, FileEntry, Version

DIMS = 512
SHARD_ROWS = 1000
COLUMN = "clip_image"
SPACE = Space(
    encoder="test:synthetic",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=DIMS,
)


def unit(vectors_ND):
    return vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


class World:
    """Pictures in crowds of very different sizes, along directions of falling weight; captions beside them.

    As CLIP has them: the two modalities lie apart, and a caption is near its picture only in part.
    """

    def __init__(self, rows):
        draw = np.random.default_rng(7)
        crowds = max(rows // 100, 10)
        self.weights_D = (1 / np.sqrt(1 + np.arange(DIMS) / 16)).astype(np.float32)
        self.middles_CD = unit(draw.standard_normal((crowds, DIMS), dtype=np.float32) * self.weights_D)
        self.shares_C = (shares := 1 / (10 + np.arange(crowds))) / shares.sum()
        self.apart_D = unit(draw.standard_normal((1, DIMS), dtype=np.float32))[0]

    def shard(self, number, rows):
        """Return pictures and captions, float16 [N, D]."""
        draw = np.random.default_rng((7, number))
        of_N = draw.choice(len(self.shares_C), rows, p=self.shares_C)
        noise_2ND = draw.standard_normal((2, rows, DIMS), dtype=np.float32) * self.weights_D / 12
        pictures_ND = unit(self.middles_CD[of_N] + noise_2ND[0])
        captions_ND = unit(pictures_ND + 1.2 * self.apart_D + 1.5 * noise_2ND[1])
        return pictures_ND.astype(np.float16), captions_ND.astype(np.float16)


def shards_of(rows):
    return [Shard(n, "image", "web", SHARD_ROWS) for n in range(rows // SHARD_ROWS)]


def column(vectors_ND, schema, name):
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors_ND.reshape(-1)), type=schema.field(name).type)


def make(root, rows):
    """Write vectors, candidates and the tables of a version, as a build leaves them."""
    world = World(rows)
    for shard in shards_of(rows):
        keys = [format_key(shard.number, row, SHARD_ROWS) for row in range(SHARD_ROWS)]
        with root.write_atomically(get_vectors_marker("main", shard)) as path:
            table = vectors_of(keys, *world.shard(shard.number, SHARD_ROWS))
            pq.write_table(table, path, compression="zstd", use_dictionary=list(ROW[2:]))
        said = [candidate(key) for key in keys]
        root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(said, CANDIDATE))
    tried = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    lines = [
        {"shard": shard.number, "kind": "image", "lane": "web", "rows": shard.rows, "tried": tried}
        | {"path": get_vectors_marker("main", shard), "bytes": 0, "sha256": ""}
        for shard in shards_of(rows)
    ]
    root.write_table("versions/0001.parquet", pa.Table.from_pylist(lines, VERSION_SHARD))
    return {"rows": rows}


def vectors_of(keys, pictures_ND, captions_ND):
    schema = make_vectors_schema({"clip_image": SPACE, "clip_text": SPACE})
    ones = pa.array(np.ones(len(keys), dtype=np.float32))
    columns = {
        "key": keys,
        "id": keys,
        "clip_image": column(pictures_ND, schema, "clip_image"),
        "clip_image_norm": ones,
        "clip_text": column(captions_ND, schema, "clip_text"),
        "clip_text_norm": ones,
    }
    said = {"kind": "image", "source": "cc3m", "outcome": "ok", "reason": ""}
    columns |= {name: [word] * len(keys) for name, word in said.items()}
    return pa.table([columns[field.name] for field in schema], schema=schema)


def candidate(key):
    """A third of the rows is German, one in a thousand is French."""
    language = "fr" if int(key) % 1000 == 0 else "de" if int(key) % 3 == 0 else "en"
    return (
        dict.fromkeys(CANDIDATE.names)
        | {"id": key, "source": "cc3m", "source_row": 0, "kind": "image", "lane": "web", "language": language}
        | {"licence": "unknown", "caption": f"picture number {key}", "url": f"https://a.example/{key}.jpg"}
    )


def build(root, rows):
    """Build the index as `echolens build` does; say its card."""
    from pipelines.index.build import build_index

    began, busy = time.perf_counter(), time.process_time()
    card = build_index(root, "main", COLUMN, shards_of(rows), TOMBSTONE.empty_table(), Index(), 1)
    spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - busy}
    return spent | {"card": card.model_dump(mode="json")}


def bare(root, rows):
    """Train, fill and write an index of the same factory with FAISS alone, from vectors in memory.

    Trained once with all vectors, as its own examples do, and once with as many as a build takes.
    """
    import faiss

    from pipelines.index.factory import choose_factory

    setting = choose_factory(rows, DIMS, Index().memory)
    vectors_ND = np.empty((rows, DIMS), dtype=np.float32)
    for shard in shards_of(rows):
        table = root.read_table(get_vectors_marker("main", shard), columns=[COLUMN])
        flat = table[COLUMN].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors_ND[shard.number * SHARD_ROWS :][:SHARD_ROWS] = flat.reshape(-1, DIMS)
    chosen = np.random.default_rng(0).choice(rows, setting.training_rows, replace=False)
    said = {}
    for name, sample_ND in (("sample", vectors_ND[np.sort(chosen)]), ("all", vectors_ND)):
        began, busy = time.perf_counter(), time.process_time()
        index = faiss.index_factory(DIMS, setting.factory, faiss.METRIC_INNER_PRODUCT)
        index.train(sample_ND)
        index.add_with_ids(vectors_ND, np.arange(rows))
        faiss.write_index(index, root.get_path("bare.faiss"))
        said[name] = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - busy}
    return said


def opened(root, rows):
    """Return the lookup of the only version."""
    from pipelines.lookup.search import Lookup

    encode = {"clip": None, "clap": None}
    content = {"name": "synthetic", "root": root.url, "shard_rows": SHARD_ROWS, "encode": encode}
    dataset = Dataset.model_validate(content | {"sources": [{"kind": "cc3m", "list": "x"}]})
    files = [f"indices/main/0001/{name}" for name in root.list_names("indices/main/0001")]
    counts = dict.fromkeys(("rows_read", "candidates"), rows) | dict.fromkeys(("rejects", "duplicates"), 0)
    version = Version(
        number=1,
        name="synthetic",
        set="main",
        created="2026-11-21T00:00:00+00:00",
        shards=rows // SHARD_ROWS,
        **counts,
        outcomes={"ok": rows},
        reasons={"ok": rows},
        vectors={},
        tables=[],
        indices=[FileEntry(path=path, bytes=root.get_size(path), sha256="") for path in files],
    )
    return Lookup.open(root, dataset, version)


def start(root, rows):
    """Open the version and answer one query by its vector; then look at what a search takes."""
    from schemas.query import Query, RowFilter

    process_s = time.time() - psutil.Process().create_time()
    questions_ND = World(rows).shard(rows, 220)[0].astype(float)
    queries = [Query(vector=tuple(question_D.tolist())) for question_D in questions_ND]
    began = time.perf_counter()
    lookup = opened(root, rows)
    lookup.warm()
    assert len(lookup.answer(queries[0]).hits) == 10
    said = {"started_s": time.perf_counter() - began + process_s}
    for word, more in {
        "plain": {},
        "a third": {"only": RowFilter(languages=("de",))},
        "rare": {"only": RowFilter(languages=("fr",))},
        "distinct": {"distinct": True},
    }.items():
        asked = [query.model_copy(update=more) for query in queries]
        began = time.perf_counter()
        lookup.answer(asked[0])
        said[f"{word}_first_ms"] = 1000 * (time.perf_counter() - began)
        taken = []
        for query in asked[20:]:
            began = time.perf_counter()
            lookup.answer(query)
            taken.append(1000 * (time.perf_counter() - began))
        said |= {f"{word}_p50_ms": float(np.median(taken)), f"{word}_p99_ms": float(np.quantile(taken, 0.99))}
    return said


if __name__ == "__main__":
    what = {"make": make, "build": build, "bare": bare, "start": start}[sys.argv[1]]
    found = what(Root.from_url(sys.argv[2]), int(sys.argv[3]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found | {"peak_mib": peak}))
