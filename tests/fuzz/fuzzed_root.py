"""A small root with one of everything that a root may hold, made of the one that an earlier version wrote."""

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.shared.job import load
from pipelines.store import plans
from pipelines.store.cards import write_card
from pipelines.store.dataset_file import read_spaces
from pipelines.store.lease import LeaseHolder
from pipelines.store.root import Root
from pipelines.store.split_hashes import hash_shards
from schemas.evaluation import EVALUATION_ROWS, EvaluationManifest, EvaluationRow, ScoreInterval
from schemas.generated import (
    GENERATED,
    GeneratedCard,
    GenerationManifest,
    GenerationSettings,
    GeneratorInfo,
    ModelRef,
    PromptSource,
)
from schemas.model_card import ModelCard
from schemas.recipe import Recipe
from tests.commands import HOME

KEPT = HOME / "tests" / "data" / "root_2188a47" / "root"


def make_root(folder: Path) -> Root:
    """Write the root into an empty folder."""
    shutil.copytree(KEPT, folder / "root")
    root = Root.from_url(str(folder / "root"))
    root.write("lease.json", LeaseHolder.create("build").to_json())
    dataset = load(root.url, [f"sources.1.list={HOME / 'tests' / 'data' / 'root_2188a47' / 'captions.csv'}"])
    # As a build of today writes dataset.json: with the encoders of every set.
    content = {
        "dataset": dataset.model_dump(mode="json"),
        "encoders": {"main": dataset.encode.model_dump(mode="json")},
    }
    root.write_json(
        "dataset.json",
        content | {"sets": _read_sets(root), "segments": {"other": {"mode": "middle", "segment_s": 3.0}}},
    )
    _write_model(root, folder / "probe")
    _write_generated(root)
    _write_evaluation(root)
    hash_shards(root, plans.list_shards(root))
    _write_list(folder)
    return root


def _write_evaluation(root: Root) -> None:
    """Put a table of one row there."""
    sha256 = "0" * 64
    manifest = EvaluationManifest(
        name="bells",
        target="miniature",
        direction="picture->sound",
        ways=("real",),
        judges=(ModelRef(name="judge", weights_sha256=sha256),),
        models=(),
        rows=2,
        rows_sha256=sha256,
        seed=0,
        params={},
        only=(),
        split="heldout",
        protocol=None,
        source="clip_image",
        target_column="clap_audio",
    )
    row = EvaluationRow(
        direction="picture->sound",
        way="real",
        judge="judge",
        score="kind",
        value=0.5,
        low=0.0,
        high=1.0,
        n=2,
        output="real",
        independent=True,
        groups=2,
        differences={"caption": ScoreInterval(value=0.0, low=-0.5, high=0.5, n=2)},
    )
    root.write("evaluations/bells/wanted.json", manifest.model_dump_json().encode())
    root.write("evaluations/bells/rows.json", EVALUATION_ROWS.dump_json([row]))


def _write_list(folder: Path) -> None:
    """Put the media where the dataset's list names them."""
    (folder / "copies").mkdir()
    memory = fsspec.filesystem("memory")
    for table in sorted((KEPT / "media").glob("*.parquet")):
        with tarfile.open(table.with_suffix(".tar")) as tar:
            for row in pq.read_table(table, columns=["key", "url"]).to_pylist():
                name = f"{row['key']}.{row['url'].rpartition('.')[2]}"
                memory.pipe_file(row["url"], tar.extractfile(name).read())


def _read_sets(root: Root) -> dict:
    spaces = read_spaces(root, "main")
    return {"main": {column: space.model_dump(mode="json") for column, space in spaces.items()}}


def _write_model(root: Root, folder: Path) -> None:
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    card = ModelCard(
        name="probe",
        task={"task": "linear_probe", "column": "clip_image"},
        recipe=Recipe(steps=3),
        steps=3,
        seconds=1.0,
        parameters=10,
        loss=0.5,
        scores={"accuracy": 0.5},
        curve=(0.1, 0.5),
        files={"weights.safetensors": hashlib.sha256(b"weights").hexdigest()},
        licence="unknown",
    )
    write_card(root, "models", card, folder)


def _write_generated(root: Root) -> None:
    sha256 = "0" * 64
    info = GeneratorInfo(
        name="audioldm", weights_sha256=sha256, medium="sound", reads=("clap_audio",), rate_hz=16_000
    )
    manifest = GenerationManifest(
        name="bells",
        set="main",
        version=2,
        asked=PromptSource(column="clip_image", keys=("0000200",), texts=("a",)),
        via="captions",
        translator={"name": "t", "weights_sha256": sha256},
        generator=info,
        settings=GenerationSettings(format="flac"),
        params={"steps": 2, "guidance": 1.5},
    )
    card = GeneratedCard(
        wanted=manifest,
        spaces=tuple(read_spaces(root, "main").values())[:1],
        gate_cosine=0.5,
        judged_by=None,
        shards=1,
        samples=1,
        length_s=1.0,
        outcomes={"ok": 1},
        mean_score=0.5,
        samples_sha256=sha256,
    )
    root.write("generated/bells/wanted.json", manifest.model_dump_json().encode())
    root.write("generated/bells/card.json", card.model_dump_json().encode())
    _write_samples(root, sha256)


def _write_samples(root: Root, sha256: str) -> None:
    row = {
        "key": "00000000",
        "id": "i",
        "source_key": "0000200",
        "prompt": "a",
        "caption": "a",
        "url": "u",
        "outcome": "ok",
        "reason": "",
        "chosen": 0,
        "candidate_seed": 1,
        "score": 0.5,
        "candidate_scores": [0.5],
        "medium": "sound",
        "length_s": 1.0,
        "size": None,
        "sha256": sha256,
        "translator": None,
        "translator_sha256": None,
        "generator": "audioldm",
        "generator_sha256": sha256,
        "seed": 1,
        "params": "{}",
    }
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=GENERATED), table)
    root.write("generated/bells/00000.parquet", table.getvalue())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info_of_file = tarfile.TarInfo("00000000.flac")
        info_of_file.size = 4
        tar.addfile(info_of_file, io.BytesIO(b"fLaC"))
    root.write("generated/bells/00000.tar", packed.getvalue())
