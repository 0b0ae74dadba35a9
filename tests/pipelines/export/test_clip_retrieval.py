import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError
from pipelines.export import clip_retrieval
from pipelines.export.registry import make_export, write_export
from pipelines.export.version import ExportedVersion
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from schemas.candidate import CANDIDATE, format_key
from schemas.families import COLUMNS
from schemas.space import Space
from schemas.version import TOMBSTONE, VERSION_SHARD, Version
from tests.columns import columns_of

SHARDS = [Shard(0, "image", "web", 9), Shard(1, "clip", "web", 4), Shard(2, "text", "web", 3)]
GONE = "000002"
SPACE = Space(
    encoder="test:none", weights_sha256="0", library="none 0", preprocessing="none", precision="fp32",
    batch_rows=1, dims=8,
)  # fmt: skip


def write(root, version, into, family="clip"):
    """Export a version, and return the counts."""
    export = make_export("clip-retrieval", {"family": family})
    return write_export(export, ExportedVersion(root, 10, version), into)


def filled(schema, **values):
    """A row of a table, blank but for these values."""
    return {field.name: "" if field.type == pa.string() else 0 for field in schema} | values


@pytest.fixture
def root(tmp_path):
    """Three shards of ten rows at most; one picture lacks its text, one clip its sound, one row is gone."""
    root = Root.from_url(str(tmp_path / "root"))
    drawn = np.random.default_rng(0)
    lines = []
    for shard in SHARDS:
        keys = [format_key(shard.number, row, 10) for row in range(shard.rows)]
        batch = {name: [name] * shard.rows for name in ("id", "source", "reason")}
        batch |= {"key": keys, "outcome": ["ok"] * shard.rows, "kind": [shard.kind] * shard.rows}
        for column in columns_of(shard.kind):
            vectors_ND = drawn.standard_normal((shard.rows, 8))
            batch[column] = list(
                (vectors_ND / np.linalg.norm(vectors_ND, axis=1)[:, None]).astype(np.float16)
            )
            batch[f"{column}_norm"] = [1.0] * shard.rows
        lacking = {"image": "clip_text", "clip": "clap_audio"}.get(shard.kind, "clip_text")
        batch[lacking][1] = None
        commit_vectors(root, "main", shard, dict.fromkeys(COLUMNS, SPACE), [batch])
        rows = [
            filled(CANDIDATE, kind=shard.kind, caption=f"row {key}", url=f"https://a.example/{key}")
            for key in keys
        ]
        root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
        of = {"shard": shard.number, "kind": shard.kind, "lane": shard.lane, "rows": shard.rows}
        lines.append(filled(VERSION_SHARD, sha256="0" * 64, **of))
    root.write_table("versions/0001.parquet", pa.Table.from_pylist(lines, schema=VERSION_SHARD))
    gone = filled(TOMBSTONE, key=GONE, outcome="dead", reason="http_404")
    root.write_table("versions/0001.tombstones.parquet", pa.Table.from_pylist([gone], schema=TOMBSTONE))
    return root


@pytest.fixture
def version():
    numbers = dict.fromkeys(("shards", "rows_read", "rejects", "duplicates", "candidates"), 0)
    vectors = {"clip_image": 13, "clip_text": 14, "clap_text": 16, "clap_audio": 3}
    return Version(
        number=1, name="tiny", set="main",
        created="2026-01-01T00:00:00+00:00", outcomes={}, reasons={}, vectors=vectors, tables=[],
        indices=[], **numbers,
    )  # fmt: skip


def stored(root, column):
    """Key -> vector, of all shards."""
    tables = [root.read_table(f"vectors/main/{shard.name}.parquet") for shard in SHARDS]
    return {row["key"]: row[column] for table in tables for row in table.to_pylist() if row[column]}


@pytest.mark.parametrize(
    ("family", "folders", "rows", "without"),
    [
        pytest.param("clip", {"img_emb": "clip_image", "text_emb": "clip_text"}, 11, 4, id="clip"),
        pytest.param("clap", {"audio_emb": "clap_audio", "text_emb": "clap_text"}, 3, 12, id="clap"),
    ],
)
@pytest.mark.parametrize("part_rows", [100_000, 4], ids=["one-part", "parts"])
def test_rows_of_every_file_are_one_sample(
    root, version, tmp_path, monkeypatch, family, folders, rows, without, part_rows
):
    """Vectors and metadata agree row by row; what is gone or lacks a vector is left out and counted."""
    monkeypatch.setattr(clip_retrieval, "PART_ROWS", part_rows)
    into = tmp_path / "out"

    made = write(root, version, into, family)

    assert (rows, without) == (made.rows, made.without)
    metadata = [pq.read_table(file) for file in sorted((into / "metadata").iterdir())]
    assert made.parts == len(metadata) == -(-rows // part_rows)
    keys = [key for table in metadata for key in table["image_path"].to_pylist()]
    assert sorted(keys) == keys
    assert GONE not in keys
    assert [f"row {key}" for key in keys] == [
        text for table in metadata for text in table["caption"].to_pylist()
    ]
    for folder, column in folders.items():
        files = sorted((into / folder).iterdir())
        assert f"{folder}_0.npy" == files[0].name
        parts = [np.load(file) for file in files]
        assert [table.num_rows for table in metadata] == [len(part) for part in parts]
        vectors_ND = np.concatenate(parts)
        assert np.float16 == vectors_ND.dtype
        wanted = stored(root, column)
        np.testing.assert_array_equal([wanted[key] for key in keys], vectors_ND)


def test_the_space_goes_along(root, version, tmp_path):
    """Which encoder made the vectors is in the metadata of every part."""
    write(root, version, tmp_path / "out")

    written = pq.read_schema(tmp_path / "out/metadata/metadata_0.parquet").metadata
    assert str(SPACE).encode() == written[b"clip_image"]


@pytest.mark.parametrize("there", ["file", "full"])
def test_nothing_is_overwritten(root, version, tmp_path, there):
    """A file, or a folder with something in it, stays as it is."""
    into = tmp_path / "out"
    if there == "full":
        into.mkdir()
    kept = into / "kept" if there == "full" else into
    kept.write_text("mine")

    with pytest.raises(ConfigError, match="out is there already and nothing is overwritten"):
        write(root, version, into)

    assert "mine" == kept.read_text()


def test_an_empty_folder_will_do(root, version, tmp_path):
    """What a person made for it is used."""
    (tmp_path / "out").mkdir()

    assert 11 == write(root, version, tmp_path / "out").rows


def test_nothing_is_left_half_written(root, version, tmp_path):
    """A damaged shard ends the export, and no folder is left."""
    root.write("vectors/main/00001.parquet", b"damaged")

    with pytest.raises(Exception, match="damaged"):
        write(root, version, tmp_path / "out")

    assert ["root"] == [path.name for path in tmp_path.iterdir()]


def test_a_family_that_is_not_there(root, version, tmp_path):
    """A dataset without sounds says so."""
    silent = version.model_copy(update={"vectors": {"clip_image": 13, "clip_text": 14}})

    with pytest.raises(ConfigError, match=r"no vectors in clap_text and clap_audio; choose another family"):
        write(root, silent, tmp_path / "out", "clap")


@pytest.mark.slow
def test_clip_retrievals_own_reader_takes_it(root, version, tmp_path):
    """embedding_reader, with which clip-retrieval reads such folders, pairs vectors and captions as we do."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here to make an environment with embedding-reader")
    python = tmp_path / "theirs/bin/python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "theirs"], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "embedding-reader"], check=True)
    into = tmp_path / "out"
    write(root, version, into)
    code = (
        "import json, sys\n"
        "from embedding_reader import EmbeddingReader\n"
        "reader = EmbeddingReader(sys.argv[1] + '/img_emb', metadata_folder=sys.argv[1] + '/metadata',\n"
        "                         meta_columns=['image_path', 'caption'], file_format='parquet_npy')\n"
        "rows = [(float(v[0]), m.image_path, m.caption)\n"
        "        for vectors, rows in reader(4, show_progress=False)\n"
        "        for v, m in zip(vectors, rows.itertuples())]\n"
        "print(json.dumps([int(reader.count), int(reader.dimension), rows]))\n"
    )
    read = subprocess.run([python, "-c", code, into], capture_output=True, text=True, check=True)
    count, dims, rows = json.loads(read.stdout.splitlines()[-1])

    vectors_ND = np.load(into / "img_emb/img_emb_0.npy")
    metadata = pq.read_table(into / "metadata/metadata_0.parquet").to_pylist()
    assert vectors_ND.shape == (count, dims)
    assert [
        [float(v[0]), m["image_path"], m["caption"]] for v, m in zip(vectors_ND, metadata, strict=True)
    ] == rows
