"""A dataset of the miniature world whose media are drawn where they are encoded: no lists, no web, no tars.

A few thousand pictures and sounds then take minutes, and what is trained on them is trained on the vectors
that a build would have made: the stages are the build's. No pocket model saw the scenes, and no held-out
combination is among them.
"""

from collections import Counter
from dataclasses import dataclass, fields

import pyarrow as pa

from jobs.shared.dataset_build import VectorMakers, make_vector_step
from pipelines.encode.encoder import EncoderSpecs, get_spaces
from pipelines.encode.resolve import resolve
from pipelines.miniature.captions import caption, label
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import Scene, draw_crossing
from pipelines.run.build_steps import VectorStep
from pipelines.run.runner import Runner
from pipelines.store import dataset_file
from pipelines.store.root import Root
from pipelines.store.shards import ROW, Shard, read_candidates
from schemas.candidate import CANDIDATE, make_candidate_id
from schemas.dataset import Dataset
from schemas.version import VERSION_SHARD, Version

SHARD_ROWS = 500
_BATCH = 16
_SOURCES = {"image": "cc3m", "text": "audiocaps", "clip": "vggsound"}
_SEEN_PX = 320


@dataclass(frozen=True)
class Drawn(VectorStep):
    """Candidates -> vectors; the media of pictures and clips are drawn from the row's number."""

    def read(self, shard):
        """Yield the rows of a shard, with media as a tar would have them."""
        if shard.kind == "text":
            yield from super().read(shard)
            return
        whole = read_candidates(self.root, shard, self.shard_rows)
        for start in range(0, shard.rows, _BATCH):
            batch = {name: whole[name][start : start + _BATCH] for name in (*ROW, "caption", "source_row")}
            scenes = [scene_of(shard.kind, row) for row in batch["source_row"]]
            pictures = [picture_file(scene) for scene in scenes]
            members = {"jpg": pictures}
            if shard.kind == "clip":
                members = {f"{frame}.jpg": pictures for frame in range(4)}
                members["flac"] = [sound_file(scene) for scene in scenes]
            yield batch | members | {"width": [_SEEN_PX] * len(scenes)}


def scene_of(kind: str, row: int) -> Scene:
    """Return the scene of a row; no two kinds share one."""
    return draw_crossing("crossing", 5, "train", 3 * row + list(_SOURCES).index(kind))


def write_world(folder, pictures: int, captions: int, clips: int) -> Root:
    """Write a dataset with one version: candidates and vectors; return its root."""
    root = Root.from_url(str(folder))
    content = {"name": "drawn", "root": root.url, "shard_rows": SHARD_ROWS}
    content |= {
        "sources": [{"kind": "cc3m", "list": "/none"}],
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    dataset = Dataset.model_validate(content)
    specs: EncoderSpecs = resolve(dataset.encode)
    dataset_file.pin(root, dataset, get_spaces(specs))
    shards = []
    for kind, count in (("image", pictures), ("text", captions), ("clip", clips)):
        for start in range(0, count, SHARD_ROWS):
            shard = Shard(len(shards), kind, "local", min(SHARD_ROWS, count - start))
            root.write_table(f"candidates/{shard.name}.parquet", _candidates(shard, start))
            shards.append(shard)
    built = make_vector_step(dataset, root, VectorMakers(specs))
    runner = Runner(Drawn(**{field.name: getattr(built, field.name) for field in fields(built)}))
    for shard in shards:
        runner.run(shard)
    _publish(root, shards, {"image": pictures, "text": captions, "clip": clips})
    return root


def _candidates(shard: Shard, start: int) -> pa.Table:
    rows = []
    for number in range(start, start + shard.rows):
        scene = scene_of(shard.kind, number)
        said = caption(scene, "picture" if shard.kind == "image" else "sound", "heldout")
        url = f"drawn://{shard.kind}/{number}"
        source = _SOURCES[shard.kind]
        rows.append(
            {"id": make_candidate_id(source, url, None, said), "source": source, "source_row": number}
            | {"kind": shard.kind, "lane": "local", "label": label(scene.kind), "licence": "unknown"}
            | {"caption": label(scene.kind) if shard.kind == "clip" else said, "url": url}
        )
    return pa.Table.from_pylist(rows, schema=CANDIDATE)


def _publish(root: Root, shards: list[Shard], counts: dict[str, int]) -> None:
    lines = [
        {"shard": shard.number, "kind": shard.kind, "lane": shard.lane, "rows": shard.rows, "tried": 0}
        | {"path": f"vectors/main/{shard.name}.parquet", "bytes": 0, "sha256": ""}
        for shard in shards
    ]
    root.write_table("versions/0001.parquet", pa.Table.from_pylist(lines, schema=VERSION_SHARD))
    rows = sum(counts.values())
    vectors = Counter(clip_image=rows - counts["text"], clip_text=rows, clap_text=rows)
    vectors["clap_audio"] = counts["clip"]
    version = Version(
        number=1, name="drawn", set="main",
        created="2026-01-01T00:00:00+00:00", shards=len(shards), rows_read=rows, rejects=0,
        duplicates=0, candidates=rows, outcomes={"ok": rows}, reasons={}, vectors=dict(vectors),
        tables=[], indices=[],
    )  # fmt: skip
    root.write("versions/0001.json", version.model_dump_json().encode())
