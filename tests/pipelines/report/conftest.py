"""A small dataset, committed by hand: pictures, clips and texts, hostile captions and every table of a root.

Shards of 10 rows: 0 and 1 are pictures, 2 is clips, 3 is texts. Row `n` of a shard shows shape `n % 3`, and
all vectors of a shape are near each other.
"""

import io
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from pipelines.encode.encoder import get_spaces
from pipelines.encode.resolve import resolve
from pipelines.maintain.publish import publish
from pipelines.report.published import PublishedVersion
from pipelines.store import dataset_file
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_media, commit_vectors
from schemas.candidate import CANDIDATE, FILTERED, SHARD, format_key
from schemas.dataset import Dataset
from schemas.encoders import Encode
from schemas.families import COLUMNS, get_family
from schemas.outcome import Outcome, as_img2dataset
from schemas.plan import PlanCounts, SourceCounts
from schemas.space import Space
from tests.columns import columns_of

SHARD_ROWS = 10
DIMS = 8
SHARDS = (
    Shard(0, "image", "web", 10),
    Shard(1, "image", "web", 6),
    Shard(2, "clip", "web", 8),
    Shard(3, "text", "web", 5),
)
SOURCES = ("wit", "cc3m", "vggsound", "audiocaps")
SHAPES = ("bell", "rain", "siren")
HOSTILE = (
    '</p><script src="https://evil.example/x.js">alert(1)</script><img src=//evil.example onerror=alert(1)>'
)
LANGUAGES = ("en", "en", "de", None)

# (shard, row) -> what became of its media; of every other row, ok.
LOST = {
    (0, 1): ("dead", "http_404"),
    (0, 4): ("dead", "http_410"),
    (1, 2): ("blocked", "robots_noai"),
    (2, 3): ("invalid", "no_audio"),
}
NO_VECTOR = (1, 5)
# Shows the same picture as row 0 of its shard, which is at another address.
SAME_PICTURE = (1, 3)
FILTERED_ROWS = 7


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Dataset:
    """The file of the dataset; its root lies below a folder that the page must not name."""
    return described(tmp_path_factory.mktemp("roots") / "private-person" / "animals")


@pytest.fixture(scope="session")
def root(dataset) -> Root:
    """The dataset, published with an index of every column. Tests only read it."""
    root = build(dataset, SHARDS)
    took = {"rows": 20, "wall_s": 4.0, "seconds": {"fetch": 3.0, "encode": 9.0}}
    root.write_json("runs/20260101T000000Z/run.json", took)
    root.write_json(
        "runs/20260102T000000Z/run.json", took | {"rows": 9, "wall_s": 1.0, "seconds": {"fetch": 1.0}}
    )
    return root


@pytest.fixture(scope="session")
def published(root) -> PublishedVersion:
    return PublishedVersion.read(root, SHARD_ROWS)


@pytest.fixture
def funnel() -> Counter[str]:
    """The outcome of every candidate, counted by hand from the tables above."""
    return Counter({
        "ok": 23, "filtered/language": 7, "dead/http_404": 1, "dead/http_410": 1, "blocked/robots_noai": 1,
        "invalid/no_audio": 1, "failed/no_vector": 1, "filtered/duplicate_media": 1,
    })  # fmt: skip


@pytest.fixture
def part(tmp_path):
    """Publish some of the shards only, into a root of their own: return the file of the dataset."""

    def publish(*numbers: int) -> Dataset:
        dataset = described(tmp_path / "part")
        build(dataset, [SHARDS[number] for number in numbers])
        return dataset

    return publish


@pytest.fixture(scope="session")
def encodable(tmp_path_factory, tiny_clip, tiny_clap) -> Dataset:
    """The same dataset, in the spaces of encoders that are there: texts can be asked."""
    dataset = described(tmp_path_factory.mktemp("encodable") / "animals")
    clip, clap = {"model": f"local-dir:{tiny_clip}", "weights": ""}, {"weights": str(tiny_clap)}
    encode = Encode.model_validate({"clip": clip, "clap": clap, "precision": "fp32"})
    dataset = dataset.model_copy(update={"encode": encode})
    build(dataset, SHARDS, get_spaces(resolve(encode)))
    return dataset


def described(folder) -> Dataset:
    sources = [{"kind": kind, "list": f"/home/private-person/{kind}"} for kind in SOURCES]
    sources[-1]["take"] = "text"
    encode = {"clip": "pocket", "clap": "pocket"}
    return Dataset.model_validate(
        {
            "name": "animals",
            "root": str(folder),
            "shard_rows": SHARD_ROWS,
            "sources": sources,
            "encode": encode,
        }
    )


def build(dataset: Dataset, shards, spaces=None) -> Root:
    root = Root.from_url(dataset.root)
    spaces = spaces or {column: space(get_family(column)) for column in COLUMNS}
    dataset_file.pin(root, dataset, spaces)
    write_plan(root, shards)
    for shard in shards:
        table = pa.Table.from_pylist([candidate(shard, row) for row in range(shard.rows)], schema=CANDIDATE)
        root.write_table(f"candidates/{shard.name}.parquet", table)
        batch = fetched(shard, table.to_pydict())
        if shard.kind != "text":
            commit_media(root, shard, batch, started=0.0)
        columns = spaces
        commit_vectors(root, "main", shard, columns, [encoded(shard, batch, columns)])
    publish(root, dataset)
    return root


def space(family: str) -> Space:
    return Space(
        encoder="open_clip:pocket" if family == "clip" else "transformers:pocket",
        weights_sha256="0" * 64,
        library="made by hand",
        preprocessing="none",
        precision="fp32",
        batch_rows=32,
        dims=DIMS,
    )


def write_plan(root: Root, shards) -> None:
    lines = [
        {"shard": shard.number, "kind": shard.kind, "lane": shard.lane, "rows": shard.rows}
        for shard in shards
    ]
    root.write_table("plan/shards.parquet", pa.Table.from_pylist(lines, schema=SHARD))
    of_list = {"outcome": "filtered", "reason": "language", "language": "fr"}
    filtered = [candidate(SHARDS[0], 100 + row) | of_list for row in range(FILTERED_ROWS)]
    root.write_table("plan/filtered.parquet", pa.Table.from_pylist(filtered, schema=FILTERED))
    sources = tuple(
        SourceCounts(
            kind=SOURCES[shard.number],
            list=f"/home/private-person/{SOURCES[shard.number]}",
            languages={},
            labels={},
            **counts(shard.rows, FILTERED_ROWS if shard == shards[0] else 0),
        )
        for shard in shards
    )
    whole = counts(sum(shard.rows for shard in shards), FILTERED_ROWS, lists=len(shards))
    plan = PlanCounts(**whole, sources=sources, lanes=())
    root.write("plan/counts.json", plan.model_dump_json().encode())


def counts(keys: int, filtered: int, lists: int = 1) -> dict:
    """Two rejects and a duplicate in every list."""
    return {
        "rows_read": keys + filtered + 3 * lists,
        "rejects": 2 * lists,
        "duplicates": lists,
        "candidates": keys + filtered,
        "reject_reasons": {"columns": 2 * lists},
        "filtered": {"language": filtered} if filtered else {},
    }


def candidate(shard: Shard, row: int) -> dict:
    number = shard.number
    blank = {field.name: None for field in CANDIDATE}
    address, caption = f"https://media.example/{number}/{row}", f"a {SHAPES[row % 3]} numbered {number}{row}"
    if (number, row) == (0, 0):
        address, caption = "javascript:alert(1)", HOSTILE
    if number == 0:
        blank |= {"attribution": "Ada & <b>Bo</b>", "licence": "CC BY-SA 4.0"}
        blank |= {"page_url": f"https://pages.example/{row}" if row else None}
    return {
        "licence": "unknown",
        "lane": "web",
        **{name: value for name, value in blank.items() if value},
    } | {
        "id": f"{number}{row:031d}",
        "source": SOURCES[number],
        "source_row": row,
        "kind": shard.kind,
        "media_url": address,
        "language": LANGUAGES[row % 4],
        "caption": caption,
        "url": address,
    }


def fetched(shard: Shard, batch: dict) -> dict:
    rows = range(shard.rows)
    outcomes = [LOST.get((shard.number, row), ("ok", "")) for row in rows]
    messages = [as_img2dataset(Outcome(*found)) for found in outcomes]
    seeds = [100 * shard.number + (0 if (shard.number, row) == SAME_PICTURE else row) for row in rows]
    pictures = [picture(seed) for seed in seeds]
    frames = {f"{frame}.jpg": pictures for frame in range(4)}
    members = {
        "image": {"jpg": pictures},
        "clip": frames | {"flac": [sound(440.0 + row) for row in rows]},
        "text": {},
    }
    return batch | members[shard.kind] | {
        "key": [format_key(shard.number, row, SHARD_ROWS) for row in rows],
        "outcome": [outcome for outcome, _ in outcomes],
        "reason": [reason for _, reason in outcomes],
        "status": [status for status, _ in messages],
        "error_message": [message for _, message in messages],
        "sha256": [f"{shard.kind}{seed}" for seed in seeds],
        "language_detected": ["en" if row % 2 else None for row in rows],
    }  # fmt: skip


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).resize((320, 240)).save(made, "JPEG")
    return made.getvalue()


def sound(pitch_hz: float) -> bytes:
    times_T = np.arange(8 * 48_000) / 48_000
    made = io.BytesIO()
    soundfile.write(made, 0.2 * np.sin(2 * np.pi * pitch_hz * times_T), 48_000, format="FLAC")
    return made.getvalue()


def encoded(shard: Shard, batch: dict, columns: dict) -> dict:
    kept = [row for row in range(shard.rows) if batch["outcome"][row] == "ok"]
    made = {name: [batch[name][row] for row in kept] for name in ("key", "id", "kind", "source")}
    good = [(shard.number, row) != NO_VECTOR for row in kept]
    made |= {"outcome": ["ok" if whole else "failed" for whole in good]}
    made |= {"reason": ["" if whole else "no_vector" for whole in good]}
    for number, column in enumerate(columns_of(shard.kind)):
        seed, dims = 1000 * number + 100 * shard.number, columns[column].dims
        pairs = list(zip(kept, good, strict=True))
        made[column] = [vector(row % 3, seed + row, dims) if whole else None for row, whole in pairs]
        made[f"{column}_norm"] = [10.0 + row if whole else None for row, whole in pairs]
    return made


def vector(shape: int, seed: int, dims: int) -> np.ndarray:
    near_D = np.eye(dims)[shape] + 0.1 * np.random.default_rng(seed).standard_normal(dims)
    return (near_D / np.linalg.norm(near_D)).astype(np.float16)
