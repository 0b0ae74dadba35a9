"""A small root of pictures, clips and texts, encoded by random models and indexed, but never fetched."""

import base64
import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipelines.encode.encoder import get_spaces
from pipelines.encode.resolve import resolve
from pipelines.encode.stages import DecodeStage, EncodeStage
from pipelines.index.build import build_index
from pipelines.lookup.search import Lookup
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_media, commit_vectors, read_candidates
from schemas.candidate import CANDIDATE
from schemas.dataset import Dataset, Index
from schemas.query import Query
from schemas.version import TOMBSTONE, VERSION_SHARD, FileEntry, Version

SHARDS = [
    Shard(0, "image", "web", 9),
    Shard(1, "image", "web", 9),
    Shard(2, "clip", "web", 5),
    Shard(3, "text", "web", 5),
]
COLUMNS = ("clip_image", "clip_text", "clap_text", "clap_audio")
MEMBERS = {"image": ("jpg",), "clip": ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "flac"), "text": ()}
GONE = "000013"


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, tiny_clip, tiny_clap):
    """Shards of ten rows, in fp32."""
    return Dataset.model_validate(
        {
            "name": "tiny",
            "root": str(tmp_path_factory.mktemp("root")),
            "shard_rows": 10,
            "sources": [{"kind": "cc3m", "list": "none"}],
            "encode": {
                "clip": {"model": f"local-dir:{tiny_clip}", "batch_rows": 4},
                "clap": {"weights": str(tiny_clap), "batch_rows": 4},
                "precision": "fp32",
            },
        }
    )


@pytest.fixture(scope="session")
def root(dataset, jpeg, flac):
    """Candidates, vectors, four indices, and one row that is gone since."""
    root = Root.from_url(dataset.root)
    specs = resolve(dataset.encode)
    for shard in SHARDS:
        write_candidates(root, shard)
        batch = read_candidates(root, shard, 10) | {"width": [64] * shard.rows}
        batch |= {"status": ["success"] * shard.rows, "original_height": [90] * shard.rows}
        batch["original_width"] = [
            100 * (row + 1) if shard.kind == "image" else 64 for row in range(shard.rows)
        ]
        for number, member in enumerate(MEMBERS[shard.kind]):
            made = flac if member == "flac" else jpeg
            batch[member] = [made(100 * shard.number + 10 * row + number) for row in range(shard.rows)]
        if shard.kind != "text":
            commit_media(root, shard, batch, 0.0)
        for stage in (DecodeStage(shard.kind, specs), EncodeStage(shard.kind, specs)):
            batch = stage.open()(batch)
        commit_vectors(root, "main", shard, get_spaces(specs), [batch])
    for column in COLUMNS:
        build_index(root, "main", column, SHARDS, TOMBSTONE.empty_table(), Index(), 1)
    root.write_table(
        "versions/0001.parquet", pa.Table.from_pylist([line(shard) for shard in SHARDS], VERSION_SHARD)
    )
    gone = {"key": GONE, "outcome": "dead", "reason": "http_404", "same_as": None}
    root.write_table("versions/0001.tombstones.parquet", pa.Table.from_pylist([gone], schema=TOMBSTONE))
    return root


def line(shard):
    tried = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    said = {"shard": shard.number, "kind": shard.kind, "lane": shard.lane, "rows": shard.rows}
    return said | {"tried": tried, "path": "", "bytes": 0, "sha256": ""}


def write_candidates(root, shard):
    blank = dict.fromkeys(CANDIDATE.names)
    rows = [
        blank
        | {
            "id": f"{shard.number:08d}{row:024d}",
            "source": "vggsound" if shard.kind == "clip" else "cc3m",
            "source_row": row,
            "kind": shard.kind,
            "lane": "web",
            "language": (None, "en", "de")[row % 3],
            "licence": "CC BY-SA 4.0" if row % 2 else "unknown",
            "caption": f"{shard.kind} number {row} of {shard.number}",
            "url": f"https://a.example/{shard.number}/{row}",
        }
        for row in range(shard.rows)
    ]
    root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))


@pytest.fixture(scope="session")
def version(root):
    """The manifest that names the four indices."""
    files = [f"indices/main/0001/{name}" for name in root.list_names("indices/main/0001")]
    return Version(
        number=1,
        name="tiny",
        set="main",
        created="2026-11-21T00:00:00+00:00",
        shards=4,
        rows_read=28,
        rejects=0,
        duplicates=0,
        candidates=28,
        outcomes={"ok": 28},
        reasons={"ok": 28},
        vectors={},
        tables=[],
        indices=[
            FileEntry(path=path, bytes=root.get_size(path), sha256=root.compute_sha256(path))
            for path in files
        ],
    )


@pytest.fixture(scope="session")
def lookup(root, dataset, version):
    """The lookup of the version."""
    return Lookup.open(root, dataset, version)


@pytest.fixture(scope="session")
def ask(lookup):
    """Return the hits of a query; the bytes of media are given as they are."""

    def answered(by=lookup, **said):
        media = {name: base64.b64encode(said[name]) for name in ("image", "sound") if name in said}
        return by.answer(Query(**said | media)).hits

    return answered


@pytest.fixture
def vectors(root):
    """Read a column back: keys and float32 vectors [N, D] of the rows that have one."""

    def read(column):
        keys, found = [], []
        for shard in SHARDS:
            table = root.read_table(f"vectors/main/{shard.name}.parquet", columns=["key", column]).to_pydict()
            for key, vector in zip(table["key"], table[column], strict=True):
                if vector is not None:
                    keys.append(key)
                    found.append(vector)
        return keys, np.array(found, dtype=np.float32)

    return read
