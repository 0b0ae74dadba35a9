"""The rows of a version that have pictures: which kind, and the pictures of some of them.

Shapes: N rows, F frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.decode.pixels import open_picture
from pipelines.decode.tower_input import find_box, resize_picture
from pipelines.errors import MediaError, StorageError
from pipelines.store.counts import as_integers
from pipelines.store.media_members import iterate_members
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.candidate import Kind, parse_key
from schemas.sample import FRAMES
from schemas.towers import PictureInput

# The members that are pictures, by the kind of a row.
MEMBERS: Mapping[Kind, tuple[str, ...]] = {"image": ("jpg",), "clip": FRAMES}


@dataclass(frozen=True, eq=False)
class PictureRows:
    """The rows with pictures.

    Attributes:
        root: of the dataset.
        shards: of the version.
        shard_rows: of the dataset.
        keys: kind -> int64, ascending.
    """

    root: Root
    shards: Sequence[Shard]
    shard_rows: int
    keys: Mapping[Kind, np.ndarray]

    def iterate_frames(self, keys: np.ndarray, settings: PictureInput) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the pictures of some rows as a tower sees them: key, and uint8 [F, H, W, 3].

        Args:
            keys: int64, of rows that have pictures.
            settings: of the tower.

        Raises:
            StorageError: a tar is missing or damaged, or a picture cannot be decoded.
        """
        numbers_N = np.array([parse_key(key, self.shard_rows)[0] for key in keys.tolist()])
        for shard in self.shards:
            own = np.sort(keys[numbers_N == shard.number]).tolist()
            if not own:
                continue
            members = MEMBERS[shard.kind]
            media = iterate_members(self.root, shard, own, members)
            for key, sample in zip(own, media, strict=True):
                try:
                    frames = [_read_picture(sample[member], settings) for member in members]
                except MediaError as error:
                    raise StorageError(
                        f"the picture of {key} in media/{shard.name}.tar cannot be decoded ({error}); look "
                        "for damage with `echolens status ROOT --verify`"
                    ) from error
                yield key, np.stack(frames)


def read_picture_rows(root: Root, shards: Sequence[Shard], shard_rows: int) -> PictureRows:
    """Return the rows of a version that have pictures.

    Args:
        root: of the dataset.
        shards: of the version.
        shard_rows: of the dataset.

    Raises:
        StorageError: a table is missing.
    """
    found: dict[Kind, list[np.ndarray]] = {kind: [np.empty(0, np.int64)] for kind in MEMBERS}
    for shard in shards:
        if shard.kind not in MEMBERS:
            continue
        name = f"media/{shard.name}.parquet"
        try:
            table = root.read_table(name, columns=["key", "outcome", "width"])
        except FileNotFoundError as error:
            raise StorageError(
                f"{root.url} has no {name}; run `echolens build` on it to its end first"
            ) from error
        # A clip of sound alone has blank frames, and its width is null.
        usable = np.array(
            [
                outcome == "ok" and width is not None
                for outcome, width in zip(
                    table["outcome"].to_pylist(), table["width"].to_pylist(), strict=True
                )
            ],
            dtype=bool,
        )
        found[shard.kind].append(as_integers(table["key"])[usable])
    return PictureRows(root, shards, shard_rows, {kind: np.concatenate(keys) for kind, keys in found.items()})


def _read_picture(data: bytes, settings: PictureInput) -> np.ndarray:
    picture = open_picture(data)
    return resize_picture(picture, settings.size_px, find_box(picture, settings))
