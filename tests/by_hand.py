"""Datasets whose media and vectors are made up: all of the files, none of the web, the nets or Ray."""

import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from jobs.shared.job import load
from pipelines.maintain.publish import publish
from pipelines.maintain.refresh import Changes, RefreshOptions, compare
from pipelines.source.database import DEFAULT_SIZE
from pipelines.source.plan import make_plan
from pipelines.store import dataset_file, plans, versions
from pipelines.store.root import Root
from pipelines.store.shards import (
    Shard,
    commit_media,
    commit_vectors,
    get_media_marker,
    get_vectors_marker,
    read_candidates,
)
from pipelines.store.windows import WINDOWS, write_windows
from schemas.dataset import Dataset
from schemas.families import COLUMNS, Column, get_family
from schemas.outcome import Outcome, as_img2dataset
from schemas.sample import FRAMES
from schemas.space import Space
from schemas.version import Version
from tests.columns import columns_of

DIMS = 16
HOST = "http://127.0.0.1/"
FILE = """
name: by-hand
root: {root}
shard_rows: {shard_rows}
sources:
  - {{kind: cc3m, list: pictures.tsv}}
  - {{kind: audiocaps, list: captions.csv, take: text}}
fetch: {{allow_private_hosts: true}}
filter: {{language: null}}
encode: {{clip: pocket, clap: pocket}}
"""


@dataclass
class ByHand:
    """Lists, a dataset of them, and a web that answers what it is told to.

    Attributes:
        folder: of the lists.
        root: of the dataset; `folder/data` unless it is a URL.
        shard_rows: of the dataset.
        answers: link -> `status/reason`; any other link has a picture of its own.
        asked: links that were asked for, in order.
    """

    folder: Path
    root: str = "data"
    shard_rows: int = 10
    answers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def lists(self, pictures: Mapping[str, str] | Sequence[tuple[str, str]], texts: int = 0) -> None:
        """Write the lists: link -> caption, and so many captions of sounds."""
        pairs = pictures.items() if isinstance(pictures, Mapping) else pictures
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "pictures.tsv").write_text("".join(f"{said}\t{url}\n" for url, said in pairs))
        lines = [f"{row},id{row:09d},{row % 300},A dog barks {row} times" for row in range(texts)]
        header = "audiocap_id,youtube_id,start_time,caption"
        (self.folder / "captions.csv").write_text("\n".join([header, *lines]) + "\n")
        written = FILE.format(root=self.root, shard_rows=self.shard_rows)
        if not texts:
            written = "\n".join(line for line in written.splitlines() if "audiocaps" not in line)
        (self.folder / "by_hand.yaml").write_text(written)

    def dataset(self, *overrides: str) -> Dataset:
        """Read the dataset's file."""
        return load(str(self.folder / "by_hand.yaml"), overrides)

    def at(self) -> Root:
        """Return where the dataset lies."""
        return Root.from_url(self.dataset().root)

    def build(self, *overrides: str) -> Version:
        """Do as the job of that name."""
        dataset = self.dataset(*overrides)
        root = Root.from_url(dataset.root)
        make_plan(dataset, root)
        return self.finish(dataset)

    def refresh(self, *overrides: str, options: RefreshOptions | None = None) -> tuple[Version, Changes]:
        """Do as the job of that name, in this process."""
        dataset = self.dataset(*overrides)
        root = Root.from_url(dataset.root)
        version = versions.find_current(root, dataset.encode.set)
        options = options or RefreshOptions()
        with tempfile.TemporaryDirectory() as scratch:
            changes = compare(Path(scratch), lambda *_: None, dataset, root, version, options, DEFAULT_SIZE)
        if version and not (changes.any or options.publish):
            return version, changes
        return self.finish(dataset), changes

    def finish(self, dataset: Dataset, **how: object) -> Version:
        """Bring every shard of every plan through, and publish."""
        root = Root.from_url(dataset.root)
        dataset_file.pin(root, dataset, {column: space(get_family(column)) for column in COLUMNS})
        for shard in plans.list_shards(root):
            self.through(dataset, root, shard)
        return publish(root, dataset, **how)

    def through(self, dataset: Dataset, root: Root, shard: Shard) -> None:
        """Commit what is not yet committed of a shard."""
        if shard.kind != "text" and not root.exists(get_media_marker(shard)):
            commit_media(root, shard, self._fetched(root, shard), time.time())
        if not root.exists(get_vectors_marker(dataset.encode.set, shard)):
            commit(dataset, root, shard)

    def _fetched(self, root: Root, shard: Shard) -> dict:
        batch = read_candidates(root, shard, self.shard_rows)
        outcomes = []
        for url in batch["media_url"]:
            self.asked.append(url)
            status, _, reason = self.answers.get(url, "ok").partition("/")
            outcomes.append(Outcome(status, reason))
        batch["outcome"] = [outcome.status for outcome in outcomes]
        batch["reason"] = [outcome.reason for outcome in outcomes]
        batch["status"] = [as_img2dataset(outcome)[0] for outcome in outcomes]
        media = [self.answers.get(f"media of {url}", url).encode() for url in batch["media_url"]]
        for member in ("jpg", "flac", *FRAMES):
            batch[member] = media
        batch["sha256"] = [
            hashlib.sha256(data).hexdigest() if outcome.status == "ok" else None
            for data, outcome in zip(media, outcomes, strict=True)
        ]
        return batch


def pictures(names: str) -> dict[str, str]:
    """Return a list of pictures, one for each letter: link -> caption."""
    return {f"{HOST}{name}.jpg": f"a picture of {name}" for name in names}


def damage(root: Root, path: str, how: Literal["missing", "flipped", "truncated"]) -> None:
    """Remove a file, flip one of its bits, or cut it in half."""
    data = root.read(path)
    root.remove(path)
    if how == "flipped":
        root.write(path, data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    elif how == "truncated":
        root.write(path, data[: len(data) // 2])


def commit(dataset: Dataset, root: Root, shard: Shard) -> None:
    """Commit vectors of a shard, each drawn from the link and the caption of its row."""
    if shard.kind == "text":
        table = read_candidates(root, shard, dataset.shard_rows)
    else:
        table = root.read_table(f"media/{shard.name}.parquet").to_pydict()
    kept = [row for row, outcome in enumerate(table["outcome"]) if outcome == "ok"]
    batch = {name: [table[name][row] for row in kept] for name in table}
    seeds = [f"{url} {said}" for url, said in zip(batch["url"], batch["caption"], strict=True)]
    for column in columns_of(shard.kind):
        batch[column] = [vector(f"{column} {seed}") for seed in seeds]
        batch[f"{column}_norm"] = [1.0] * len(kept)
    columns: dict[Column, Space] = {
        column: space(get_family(column)) for column in ("clip_image", "clip_text", "clap_text", "clap_audio")
    }
    if dataset.encode.windows and shard.kind == "clip":
        starts_s = np.array([0, 5], np.float32)
        batch[WINDOWS] = [
            (starts_s, np.stack([vector(f"window {start_s} {seed}") for start_s in starts_s]))
            for seed in seeds
        ]
        write_windows(root, dataset.encode.set, shard, "clap_audio", columns["clap_audio"], [batch])
    commit_vectors(root, dataset.encode.set, shard, columns, [batch] if kept else [])


def vector(seed: str) -> np.ndarray:
    """Return a unit vector that the seed decides."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(number).standard_normal(DIMS)
    return (drawn / np.linalg.norm(drawn)).astype(np.float16)


def space(family: str) -> Space:
    """Return the made-up space of an encoder."""
    return Space(
        encoder="open_clip:pocket" if family == "clip" else "transformers:pocket",
        weights_sha256="0" * 64,
        library="made by hand",
        preprocessing="none",
        precision="fp32",
        batch_rows=32,
        dims=DIMS,
    )


def outcomes(root: Root, set_name: str = "main") -> dict[str, str]:
    """Return caption -> `outcome/reason` of every candidate that has a key in the current version."""
    version = versions.find_current(root, set_name)
    overlay = versions.read_overlay(root, version.number)
    found = {}
    for shard in versions.read_shards(root, version):
        name = f"vectors/{set_name}" if shard.kind == "text" else "media"
        rows = overlay.select_visible_rows(root.read_table(f"{name}/{shard.name}.parquet"))
        gone = {row["key"]: row for row in overlay.select_tombstones(rows).to_pylist()}
        captions = root.read_table(f"candidates/{shard.name}.parquet")["caption"].to_pylist()
        for row in rows.to_pylist():
            said = gone.get(row["key"], row)
            at = int(row["key"]) % int(10 ** len(str(max(shard.rows, 10) - 1)))
            caption = row.get("caption") or captions[at]
            assert caption not in found
            found[caption] = f"{said['outcome']}/{said['reason']}".rstrip("/")
    return found
