"""A root of made-up vectors with structure: as many rows as wanted, and nothing that was ever fetched."""

import hashlib
import json

import numpy as np
import pyarrow as pa

from pipelines.encode.resolve import resolve_entry
from pipelines.index.build import build_index
from pipelines.store.manifest import make_entry
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.candidate import CANDIDATE, format_key
from schemas.dataset import Dataset, Index
from schemas.vectors import make_vectors_schema
from schemas.version import MISSING, SUPERSEDED, TOMBSTONE, VERSION_SHARD, Version

SHARD_ROWS = 1000
# As many things as a hundredth of the rows, and how far a picture and a caption lie from their thing.
ROWS_A_THING = 100
SPREAD = 0.6
SEED = 7


def pairs(rows, dims, seed=SEED):
    """Return unit vectors of pictures and of their captions, float32 [N, D] each."""
    drawn = np.random.default_rng(seed)
    things = drawn.standard_normal((max(1, rows // ROWS_A_THING), dims), dtype=np.float32)
    # Captions lie to one side of pictures, as CLIP's do.
    aside = drawn.standard_normal(dims, dtype=np.float32)
    own = things[drawn.integers(len(things), size=rows)]
    made = []
    for shift in (0, aside):
        around = own + SPREAD * drawn.standard_normal((rows, dims), dtype=np.float32) + shift
        made.append(around / np.linalg.norm(around, axis=1, keepdims=True))
    return made


def synthetic(folder, rows):
    """Write a root of so many pictures, with vectors in the space of pocket CLIP.

    Returns the root, its dataset, its shards, and the vectors of the pictures, float32 [N, D].
    """
    root = Root.from_url(str(folder))
    dataset = Dataset.model_validate(
        {
            "name": "synthetic",
            "root": root.url,
            "shard_rows": SHARD_ROWS,
            "sources": [{"kind": "cc3m", "list": "none.tsv"}],
            "encode": {"clip": "pocket", "clap": None},
        }
    )
    spec = resolve_entry(dataset.encode, "clip")
    spaces = {"clip_image": spec.space, "clip_text": spec.space}
    pictures, captions = pairs(rows, spec.space.dims)
    shards = [
        Shard(start // SHARD_ROWS, "image", "web", min(SHARD_ROWS, rows - start))
        for start in range(0, rows, SHARD_ROWS)
    ]
    for shard in shards:
        own = slice(shard.number * SHARD_ROWS, shard.number * SHARD_ROWS + shard.rows)
        write_shard(root, shard, spaces, {"clip_image": pictures[own], "clip_text": captions[own]})
    root.write_json("dataset.json", {"dataset": json.loads(dataset.model_dump_json()), "sets": {}})
    build_index(root, "main", "clip_image", shards, TOMBSTONE.empty_table(), Index(), 1)
    publish(root, shards, 1, [])
    return root, dataset, shards, pictures


def write_shard(root, shard, spaces, vectors):
    """Write the candidates and the vectors of a shard."""
    blank = dict.fromkeys(CANDIDATE.names)
    rows = [
        blank
        | {
            "id": hashlib.sha256(f"{shard.number} {row}".encode()).hexdigest()[:32],
            "source": "cc3m",
            "source_row": row,
            "kind": "image",
            "lane": "web",
            "language": "en",
            "licence": "unknown",
            "caption": f"a photograph of thing number {row} on shelf {shard.number}, seen from the door",
            "url": f"https://pictures.example/{shard.number}/{row}.jpg",
        }
        for row in range(shard.rows)
    ]
    root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
    schema = make_vectors_schema(spaces)
    columns = {
        "key": [format_key(shard.number, row, SHARD_ROWS) for row in range(shard.rows)],
        "id": [row["id"] for row in rows],
        **{name: [said] * shard.rows for name, said in (("kind", "image"), ("source", "cc3m"))},
        **{name: [said] * shard.rows for name, said in (("outcome", "ok"), ("reason", "ok"))},
    }
    for column, made in vectors.items():
        flat = pa.array(made.astype(np.float16).reshape(-1))
        columns[column] = pa.FixedSizeListArray.from_arrays(flat, made.shape[1])
        columns[f"{column}_norm"] = np.ones(shard.rows, dtype=np.float32)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    root.write_table(f"vectors/main/{shard.name}.parquet", table)


def publish(root, shards, number, gone):
    """Publish a version over the index of the first, in which the rows of some keys are gone."""
    lines = [
        {
            "shard": shard.number,
            "kind": shard.kind,
            "lane": shard.lane,
            "rows": shard.rows,
            "tried": 0,
            "path": f"vectors/main/{shard.name}.parquet",
            "bytes": 0,
            "sha256": "",
        }
        for shard in shards
    ]
    dead = [{"key": key, "outcome": "dead", "reason": "http_404", "same_as": None} for key in gone]
    tables = {
        "": pa.Table.from_pylist(lines, schema=VERSION_SHARD),
        ".tombstones": pa.Table.from_pylist(dead, schema=TOMBSTONE),
        ".superseded": SUPERSEDED.empty_table(),
        ".missing": MISSING.empty_table(),
    }
    for name, table in tables.items():
        root.write_table(f"versions/{number:04d}{name}.parquet", table)
    rows = sum(shard.rows for shard in shards)
    version = Version(
        number=number,
        name="synthetic",
        set="main",
        created="2026-11-21T00:00:00+00:00",
        shards=len(shards),
        rows_read=rows,
        rejects=0,
        duplicates=0,
        candidates=rows,
        outcomes={"ok": rows - len(gone), "dead": len(gone)},
        reasons={"ok": rows - len(gone), "dead/http_404": len(gone)},
        vectors={"clip_image": rows - len(gone), "clip_text": rows - len(gone)},
        tables=[make_entry(root, f"versions/{number:04d}{name}.parquet") for name in tables],
        indices=[
            make_entry(root, f"indices/main/0001/{name}") for name in root.list_names("indices/main/0001", "")
        ],
    )
    root.create(f"versions/{number:04d}.json", version.model_dump_json().encode())
