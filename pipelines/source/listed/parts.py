"""Which rows of a list have their vectors in which file: an npz beside each file, or the file itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.errors import ListError
from pipelines.source.listed.columns import find_dims, read_column
from pipelines.source.listed.keys import VectorKeys
from pipelines.source.listed.npz import read_matrix, read_shape
from pipelines.source.parquet_lists import open_parquet
from schemas.families import Modality

# Rows of a table that are read at a time.
_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class VectorPart:
    """A file of a list and its vectors.

    Attributes:
        url: of the file.
        npz: URL of the file of its vectors; None if they are in a column.
        first: the number of its first row among all rows of the list.
        rows: how many it has.
    """

    url: str
    npz: str | None
    first: int
    rows: int


@dataclass(frozen=True)
class ListedVectors:
    """The vectors of a list.

    Attributes:
        place: of the list, as the dataset's file names it.
        parts: in order.
        arrays: modality and the name of its array or column.
        dims: of every vector, D.
        space: its name, or a key of `encode`.
        url: column of the rows' URLs; None if they are made of others.
        caption: column of the captions, where it is one.
    """

    place: str
    parts: tuple[VectorPart, ...]
    arrays: tuple[tuple[Modality, str], ...]
    dims: int
    space: str
    url: str | None
    caption: str | None

    @property
    def rows(self) -> int:
        """The number of rows of the list."""
        return self.parts[-1].first + self.parts[-1].rows

    def describe(self) -> str:
        """Return what a plan says of them."""
        where = "npz beside each file" if self.parts[0].npz else "columns"
        names = ", ".join(f"{name!r} ({modality})" for modality, name in self.arrays)
        return (
            f"list {self.place}: vectors of {self.dims} numbers in space {self.space!r} come from the "
            f"{where}: {names}; nothing is fetched"
        )


def open_parts(  # noqa: PLR0913, PLR0917 - a list, and which of its columns is what
    keys: VectorKeys, urls: Sequence[str], place: str, of: Modality, url: str | None, caption: str | None
) -> ListedVectors:
    """Return the vectors of a list; every file is there and has a vector for every row.

    Args:
        keys: of the dataset's file.
        urls: of the list's Parquet files, in order.
        place: of the list.
        of: the modality of its media.
        url: column of the rows' URLs.
        caption: column of the captions.

    Raises:
        ListError: a file is missing or damaged, or has vectors of another number or length.
    """
    arrays, parts, first = keys.list_arrays(of), list[VectorPart](), 0
    dims: int | None = None
    for each in urls:
        rows = open_parquet(each).rows
        npz = re.sub(r"\.[^./]*$", ".npz", each) if keys.npz is not None else None
        if npz is not None:
            for name in arrays.values():
                dims = _check_array(npz, name, rows, each, dims)
        parts.append(VectorPart(each, npz, first, rows))
        first += rows
    if dims is None:
        found = {name: find_dims(open_parquet(urls[0]), name, f"list {urls[0]}") for name in arrays.values()}
        dims = next(iter(found.values()))
        if other := next((name for name, each in found.items() if each != dims), None):
            raise ListError(
                f"list {place}: vectors of {other!r} have {found[other]} numbers and others {dims}, and "
                "a space has one length; name columns of one space"
            )
    return ListedVectors(place, tuple(parts), tuple(arrays.items()), dims, keys.space, url, caption)


def _check_array(npz: str, name: str, rows: int, url: str, dims: int | None) -> int:
    shape = read_shape(npz, name)
    if shape.rows != rows:
        raise ListError(
            f"{npz}: array {name!r} has {shape.rows:,} vectors and {url} {rows:,} rows; download both again"
        )
    if dims is not None and shape.dims != dims:
        raise ListError(
            f"{npz}: vectors of {name!r} have {shape.dims} numbers and others {dims}, and a space has one "
            "length; name arrays of one space"
        )
    return shape.dims


def read_vectors(vectors: ListedVectors, part: VectorPart, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of a file, float [N, D], and the length of each as it is there, -1 for none.

    Raises:
        ListError: the file is damaged, or not the one that was opened before.
    """
    if part.npz is not None:
        matrix_ND = read_matrix(part.npz, name)
        if matrix_ND.shape == (part.rows, vectors.dims):
            return matrix_ND, np.full(part.rows, vectors.dims, np.int64)
    else:
        file = open_parquet(part.url)
        if file.rows == part.rows:
            return read_column(file, name, vectors.dims, f"list {part.url}")
    raise make_changed_error(vectors.place, f"{part.npz or part.url} has other rows")


def read_texts(part: VectorPart, column: str, place: str) -> list[str | None]:
    """Return a column of texts of a file.

    Raises:
        ListError: the file is damaged, or not the one that was opened before.
    """
    file = open_parquet(part.url)
    if column not in file.schema.names or file.rows != part.rows:
        raise make_changed_error(place, f"{part.url} has other rows")
    return [
        text.decode(errors="backslashreplace") if isinstance(text, bytes) else text and str(text)
        for batch in file.iterate([column], _BATCH_ROWS)
        for text in batch[column].to_pylist()
    ]


def make_changed_error(place: str, what: str) -> ListError:
    """Return the error of a list that is not the one that was planned."""
    return ListError(
        f"list {place} has changed since it was planned: {what}; put the old one back, or run "
        "`echolens refresh` to bring the new one in"
    )
