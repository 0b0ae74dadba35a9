"""Pictures and sounds from outside a dataset, with vectors in its spaces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.dataset_build import build
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.dataset import Dataset, Filter, Source
from schemas.families import DEFAULTS, Column, get_family, get_modality
from schemas.space import Space
from schemas.version import Version

if TYPE_CHECKING:
    import numpy as np

# Keeps every picture, whatever its shape.
_NO_FILTER = Filter(language=None, min_side_px=1, max_aspect=1e9)
# The caption of a file whose name has no words.
_UNNAMED = "picture"


@dataclass(frozen=True)
class ExternalPictures:
    """Pictures named on a command line, with captions: the text file beside one, else its name.

    Attributes:
        urls: caption and http(s) URL.
        files: caption and path.
        sha256: of all captions, URLs, names and files.
    """

    urls: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, Path], ...]
    sha256: str


def find_pictures(locations: Sequence[str]) -> ExternalPictures:
    """Return the pictures at files, folders and http(s) URLs.

    Raises:
        ConfigError: there is no such file, or a folder without pictures.
    """
    from pipelines.source.folder import split_words

    urls, files = [], []
    for location in locations:
        if location.startswith(("http://", "https://")):
            urls.append((split_words(location.partition("?")[0]) or _UNNAMED, location))
        else:
            files += [(_read_caption(file), file) for file in _find_files(location)]
    digest = hashlib.sha256()
    for caption, url in urls:
        digest.update(f"{caption}\t{url}\n".encode())
    for caption, file in files:
        digest.update(f"{caption}\t{file.name}\t{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return ExternalPictures(tuple(urls), tuple(files), digest.hexdigest())


def _find_files(location: str) -> list[Path]:
    from pipelines.source.folder import PICTURES

    path = Path(location).expanduser()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    pictures = [file for file in files if file.suffix[1:].lower() in PICTURES]
    if not pictures:
        known = ", ".join(sorted(PICTURES))
        raise ConfigError(
            f"{location} is no picture and no folder of pictures; give files of {known}, or URLs"
        )
    return pictures


def _read_caption(file: Path) -> str:
    from pipelines.source.folder import split_words

    beside = file.with_suffix(".txt")
    caption = (
        beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else split_words(file.name)
    )
    return " ".join(caption.split()) or _UNNAMED


def _iterate_members(files: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, bytes]]:
    for number, (caption, file) in enumerate(files):
        # A folder for each, since two files may have one name. A tar's name field has 100 bytes.
        stem, suffix = f"{number:06d}/{file.stem[:40]}".encode()[:80].decode(errors="ignore"), file.suffix
        yield f"{stem}{suffix}", file.read_bytes()
        yield f"{stem}.txt", caption.encode()


def build_pictures(
    dataset: Dataset, pictures: ExternalPictures, column: Column, space: Space
) -> tuple[Dataset, Version]:
    """Build pictures into a root of their own below a dataset's; return its configuration and version.

    Files of this machine are packed into a tar there first, which every worker can read.

    Args:
        dataset: whose encoder and fetch settings are used.
        pictures: from outside the dataset.
        column: of the vectors.
        space: of the vectors.
    """
    from pipelines.generate.step import get_pictures_folder
    from pipelines.store.tar import write_tar

    root = Root.from_dataset(dataset)
    folder = get_pictures_folder(pictures.sha256)
    sources = []
    if pictures.urls:
        rows = "".join(f"{caption}\t{url}\n" for caption, url in pictures.urls)
        root.write(f"{folder}.tsv", rows.encode())
        sources.append(Source(kind="cc3m", list=f"{root.url}/{folder}.tsv"))
    if pictures.files:
        if not root.exists(f"{folder}.tar"):
            with root.write_atomically(f"{folder}.tar") as path:
                write_tar(path, _iterate_members(pictures.files))
        sources.append(Source(kind="folder", list=f"{root.url}/{folder}.tar"))
    # A tower that joins a family is checked against the family's own.
    encode = dataset.encode.select({dataset.encode.find_key(column), get_family(column)})
    set_name = dataset.encode.set if column == DEFAULTS["image"] else column
    external = Dataset(
        name=dataset.name,
        root=f"{root.url}/{folder}",
        contact=dataset.contact,
        shard_rows=dataset.shard_rows,
        sources=tuple(sources),
        fetch=dataset.fetch,
        filter=_NO_FILTER,
        encode=encode.model_copy(update={"precision": space.precision, "set": set_name}),
    )
    # The lists are the person's; how they are fetched is what the dataset says.
    external = external.with_trust(dataset.given_trust.exclude("sources"))
    return external, build(external)


def read_sound_files(paths: Sequence[Path]) -> tuple[list[bytes], list[str]]:
    """Return the bytes of sound files, and the sha256 of each.

    Raises:
        ConfigError: one is not there.
    """
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"{path} is not a file; give a sound of this machine")
    files = [path.read_bytes() for path in paths]
    return files, [hashlib.sha256(data).hexdigest() for data in files]


def check_sounds(paths: Sequence[Path], files: Sequence[bytes]) -> None:
    """Refuse sounds that say nothing; one that cannot be decoded becomes an outcome of its row.

    Args:
        paths: of the files.
        files: their content.

    Raises:
        ConfigError: one is silent or too short.
    """
    from pipelines.decode.audible import check_audible
    from pipelines.errors import UndecodableMediaError

    for path, data in zip(paths, files, strict=True):
        with suppress(UndecodableMediaError):
            check_audible(data, str(path))


def encode_media(dataset: Dataset, column: Column, items: Sequence[bytes | str]) -> np.ndarray:
    """Return unit vectors of files or texts by the encoder that fills a column, float32 [N, D].

    Args:
        dataset: whose set has the column.
        column: of the medium of the items.
        items: files, or texts; the vector of one that cannot be decoded is NaN.

    Raises:
        ConfigError: the set has no encoder of the column.
    """
    import numpy as np

    from pipelines.encode.encoder import encode, get_tower
    from pipelines.encode.resolve import resolve_entry
    from pipelines.errors import UndecodableMediaError

    pinned = read_spaces(Root.from_dataset(dataset), dataset.encode.set)
    spec = resolve_entry(dataset.encode, dataset.encode.find_key(column), pinned)
    if spec is None:
        raise ConfigError(f"the dataset's set has no encoder of {column}; build a set with one")
    tower = get_tower(spec, get_modality(column))
    vectors_ND = np.full((len(items), spec.space.dims), np.nan, np.float32)
    for number, item in enumerate(items):
        with suppress(UndecodableMediaError):
            vectors_ND[number] = encode(tower, [tower.prepare(item)], spec.space.batch_rows)[0][0]
    return vectors_ND
