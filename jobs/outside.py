"""Pictures and sounds from outside a dataset, with vectors in its spaces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.build import build
from pipelines.errors import ConfigError
from pipelines.storage import Root
from schemas.dataset import Dataset, Filter, Source
from schemas.space import Space
from schemas.version import Version

if TYPE_CHECKING:
    import numpy as np

    from pipelines.encode.encoder import EncoderSpec

# Every picture is wanted, whatever its shape.
_EVERY = Filter(language=None, min_side_px=1, max_aspect=1e9)
# A file whose name has no words.
_UNNAMED = "picture"


def picture_list(places: Sequence[str]) -> bytes:
    """Return files, folders and http(s) URLs of pictures as a list: caption, tab, URL.

    The caption is the text file of the same name beside the picture, else the words of its name.

    Raises:
        ConfigError: there is no such file, or a folder without pictures.
    """
    lines = [f"{caption}\t{url}\n" for place in places for caption, url in _pictures(place)]
    return "".join(lines).encode()


def _pictures(place: str) -> Iterator[tuple[str, str]]:
    from pipelines.source.folder import PICTURES, words

    if place.startswith(("http://", "https://")):
        yield words(place.partition("?")[0]) or _UNNAMED, place
        return
    path = Path(place).expanduser().resolve()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    pictures = [file for file in files if file.suffix[1:].lower() in PICTURES]
    if not pictures:
        known = ", ".join(sorted(PICTURES))
        raise ConfigError(f"{place} is no picture and no folder of pictures; give files of {known}, or URLs")
    for file in pictures:
        beside = file.with_suffix(".txt")
        said = beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else words(file.name)
        yield " ".join(said.split()) or _UNNAMED, file.as_uri()


def build_pictures(dataset: Dataset, listed: bytes, clip: Space) -> tuple[Dataset, Version]:
    """Build pictures into a root of their own below a dataset's, and return it and its version.

    Args:
        dataset: whose encoder, and whose way of fetching.
        listed: by `picture_list`.
        clip: the space that the vectors shall be in.
    """
    from pipelines.generate.step import pictures_folder

    root = Root.at(dataset.root)
    folder = pictures_folder(hashlib.sha256(listed).hexdigest())
    root.write(f"{folder}.tsv", listed)
    changes = {"clap": None, "precision": clip.precision}
    encode = dataset.encode.model_copy(update=changes)
    pictures = Dataset(
        name=dataset.name,
        root=f"{root.url}/{folder}",
        contact=dataset.contact,
        shard_rows=dataset.shard_rows,
        sources=(Source(kind="cc3m", list=f"{root.url}/{folder}.tsv"),),
        fetch=dataset.fetch,
        filter=_EVERY,
        encode=encode,
    )
    return pictures, build(pictures)


def sound_files(paths: Sequence[Path]) -> tuple[list[bytes], list[str]]:
    """Return the bytes of sound files, and the sha256 of each.

    Raises:
        ConfigError: one is not there.
    """
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"{path} is not a file; give a sound of this machine")
    files = [path.read_bytes() for path in paths]
    return files, [hashlib.sha256(data).hexdigest() for data in files]


def sound_vectors(spec: EncoderSpec, files: Sequence[bytes]) -> np.ndarray:
    """Return unit vectors of sounds, float32 [N, D]; NaN of what is no sound."""
    import numpy as np

    from pipelines.encode.encoder import Unusable, encode

    tower = spec.open()["audio"]
    vectors_ND = np.full((len(files), spec.space.dims), np.nan, np.float32)
    for number, data in enumerate(files):
        try:
            vectors_ND[number] = encode(tower, [tower.prepare(data)], spec.space.batch_rows)[0][0]
        except Unusable:
            continue
    return vectors_ND
