"""Whether the vectors of a set are taken from a list, and in which space they are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.space_check import CAPTIONS, StoredItems, check_against_vectors
from pipelines.errors import ConfigError
from pipelines.source.listed.parts import ListedVectors, read_texts, read_vectors
from pipelines.source.listing import ListSource
from pipelines.source.registry import make_lists
from schemas.dataset import Dataset
from schemas.families import FAMILIES, Column, make_column
from schemas.space import LISTED, Space

# The family of vectors in a space of their own.
FAMILY = "listed"


@dataclass(frozen=True)
class ListedSet:
    """A set of vectors that a list brings.

    Attributes:
        vectors: of the list.
        family: of their columns.
        space: of all of them.
    """

    vectors: ListedVectors
    family: str
    space: Space

    @property
    def arrays(self) -> dict[Column, str]:
        """Column -> the array or column of the list that fills it."""
        return {make_column(self.family, modality): name for modality, name in self.vectors.arrays}

    @property
    def spaces(self) -> dict[Column, Space]:
        """Column -> the space of its vectors."""
        return dict.fromkeys(self.arrays, self.space)


def make_named_space(name: str, dims: int) -> Space:
    """Return the space of vectors of which nothing is known but a name; it is equal to none of an encoder.

    In place of the sha256 of weights it has that of its name, so two names are two spaces.
    """
    return Space(
        encoder=f"{LISTED}{name}",
        weights_sha256=hashlib.sha256(f"{LISTED}{name}".encode()).hexdigest(),
        library="of the list",
        preprocessing="unknown",
        precision="fp16",
        batch_rows=1,
        dims=dims,
    )


@dataclass(frozen=True)
class ListedChoice:
    """A list whose vectors fill a set.

    Attributes:
        source: the list.
        claims: the key of `encode` whose space they claim to be in; None for a space of their own.
    """

    source: ListSource
    claims: str | None


def choose_listed(dataset: Dataset, encoders: Collection[str]) -> ListedChoice | None:
    """Return the list whose vectors fill the dataset's set in place of encoders, without reading it.

    Args:
        dataset: its configuration.
        encoders: keys of its encoders.

    Raises:
        ConfigError: other lists are beside it, or it claims a space that it cannot have.
    """
    lists = make_lists(dataset)
    bringing = [each for each in lists if each.vector_keys is not None]
    if not bringing:
        return None
    if len(lists) > 1:
        raise ConfigError(
            f"list {bringing[0].list} brings vectors and other lists are beside it; give it a dataset of its "
            "own, in which it may have any number of files"
        )
    assert bringing[0].vector_keys is not None
    space = bringing[0].vector_keys.space
    if space in FAMILIES and space not in encoders:
        raise ConfigError(
            f"sources.0.vectors.space names encode.{space}, and there is none; name the encoder there, or "
            "give the space a name of its own"
        )
    if space not in encoders:
        return None if encoders else ListedChoice(bringing[0], None)
    if others := sorted({*encoders} - {space}):
        raise ConfigError(
            f"encode.{others[0]} would make vectors beside those that the list brings; set it to null, or "
            "make them in another `encode.set` without it"
        )
    return ListedChoice(bringing[0], space)


def find_listed_set(dataset: Dataset, specs: Mapping[str, EncoderSpec]) -> ListedSet | None:
    """Return the vectors that fill the dataset's set in place of encoders; None if encoders fill it.

    Args:
        dataset: its configuration.
        specs: its encoders.

    Raises:
        ConfigError: other lists are beside it, or it claims a space that it cannot have.
        ListError: its vectors cannot be read.
        SpaceError: its vectors are not in the space that it claims.
    """
    chosen = choose_listed(dataset, specs.keys())
    if chosen is None:
        return None
    chosen.source.prepare(dataset.fetch, dataset.contact, lambda *_: None)
    vectors = chosen.source.open_vectors()
    if chosen.claims is None:
        return _make_set(vectors, FAMILY, None)
    return _make_set(vectors, chosen.claims, specs[chosen.claims])


def _make_set(vectors: ListedVectors | None, family: str, spec: EncoderSpec | None) -> ListedSet:
    assert vectors is not None
    if spec is None:
        return ListedSet(vectors, family, make_named_space(vectors.space, vectors.dims))
    check_against_vectors(spec, _read_sample(vectors, family), f"the vectors of list {vectors.place}")
    return ListedSet(vectors, family, spec.space)


def _read_sample(vectors: ListedVectors, key: str) -> StoredItems:
    """Return captions of the first file, and their vectors in the list."""
    arrays = dict(vectors.arrays)
    if "text" not in arrays or vectors.caption is None:
        raise ConfigError(
            f"sources.0.vectors.space names encode.{key}, and only vectors of a column of captions can show "
            "that; name their array as well, or give the space a name of its own"
        )
    part = vectors.parts[0]
    captions = read_texts(part, vectors.caption, vectors.place)
    matrix_ND, lengths_N = read_vectors(vectors, part, arrays["text"])
    # Captions that are cut off at the length of a net are those that nets disagree on.
    whole = [row for row, caption in enumerate(captions) if caption and 0 < len(caption.split()) <= 40]
    rows = np.array(whole, np.int64)
    norms_n = np.linalg.norm(matrix_ND[rows].astype(np.float64), axis=1)
    rows = rows[(lengths_N[rows] == vectors.dims) & np.isfinite(norms_n) & (norms_n > 0)][: len(CAPTIONS)]
    if not len(rows):
        raise ConfigError(
            f"list {vectors.place} has no caption with a vector among its first rows, by which its space "
            "could be checked; give the space a name of its own"
        )
    return StoredItems("text", [str(captions[row]) for row in rows], matrix_ND[rows].astype(np.float32))
