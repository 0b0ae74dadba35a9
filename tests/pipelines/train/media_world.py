"""A dataset of pictures and clips, made up by hand, whose media are the links they came from."""

from pathlib import Path

import numpy as np

from pipelines.compute.child_process import use_this_process
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.vectors import VectorReader
from tests.by_hand import HOST, ByHand

PICTURES, CLIPS = 200, 40
DEAD = (3, 44, 45)
TWICE = 9  # has the media of the picture before it
UNLISTED = (20, 21)  # in version 1 alone
SHOWN = {
    1: {*range(PICTURES)}.difference(DEAD, {TWICE}),
    2: {*range(PICTURES + 10)}.difference(DEAD, {TWICE}, UNLISTED),
}


def link(number: int) -> str:
    """Return the address of a picture, which is its media, too."""
    return f"{HOST}{number}.jpg"


def build_world(folder: Path) -> ByHand:
    """Build version 1, of 10 shards of pictures and 2 of clips; then 2: two pictures less and ten more."""
    world = ByHand(folder, shard_rows=20)
    world.answers = {link(number): "dead/http_404" for number in DEAD}
    world.answers[f"media of {link(TWICE)}"] = link(TWICE - 1)
    with use_this_process():
        _write_lists(world, set(range(PICTURES)))
        world.build()
        _write_lists(world, set(range(PICTURES + 10)).difference(UNLISTED))
        world.refresh()
    return world


def _write_lists(world: ByHand, numbers: set[int]) -> None:
    world.lists({link(number): f"picture {number}" for number in sorted(numbers)}, texts=CLIPS)
    file = world.folder / "by_hand.yaml"
    media = 'media: "http://127.0.0.1/{youtube_id}_{start_s}.mp4"'
    file.write_text(file.read_text().replace("take: text", media))


def open_vectors(world: ByHand, number: int) -> VectorReader:
    """Return the vectors of a version."""
    root = world.at()
    version = versions.read_version(root, number)
    removed = as_integers(versions.read_removed(root, number)["key"])
    return VectorReader(root, version.set, versions.read_shards(root, version), removed)


def find_keys(world: ByHand, column: str, number: int = 1) -> np.ndarray:
    """Return the keys of a version that have a vector in a column."""
    return open_vectors(world, number).read_keys(column)[1]
