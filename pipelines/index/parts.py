"""An index of very many rows: filled part by part, then merged on disk, so that memory holds one part.

FAISS merges in memory only. Its file ends with the inverted lists, one after the other, so the lists of the
parts are joined while they are written, each read from the parts' mapped files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import StorageError

# Of 512 dimensions in float16: 10 GB.
PART_ROWS = 10_000_000


def fill_index(
    empty: Any,
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    rows: int,
    scratch: Callable[[], Path],
) -> Any:
    """Return a trained index with the rows of all blocks added.

    Args:
        empty: the trained index.
        blocks: keys, int64 [N], and unit vectors, float32 [N, D].
        rows: of all blocks; with more than `PART_ROWS` the index is made of parts, and mapped.
        scratch: returns a folder for the parts and the whole, which must outlive the index.
    """
    if rows <= PART_ROWS or _inverted(empty) is None:
        for keys, vectors_ND in blocks:
            empty.add_with_ids(vectors_ND, keys)
        return empty
    folder = scratch()
    parts = []
    for number, part in enumerate(_parts(blocks)):
        for keys, vectors_ND in part:
            empty.add_with_ids(vectors_ND, keys)
        parts.append(folder / f"{number:05d}")
        _write(empty, parts[-1])
        empty.reset()
    return merge_parts(empty, parts, folder / "whole")


def merge_parts(empty: Any, parts: Sequence[Path], to: Path) -> Any:
    """Return one index, mapped, that holds the rows of all parts.

    Args:
        empty: the trained index, without rows.
        parts: files of that index with rows.
        to: the file to write.

    Raises:
        StorageError: this FAISS writes its files in another way.
    """
    import faiss

    opened = [_mapped(part) for part in parts]
    lists = [_inverted(index).invlists for index in opened]
    count, code_bytes = int(lists[0].nlist), int(lists[0].code_size)
    # The header holds the number of rows; the lists follow as their kind, number, code size and lengths.
    empty.ntotal = _inverted(empty).ntotal = sum(int(index.ntotal) for index in opened)
    header = faiss.serialize_index(empty).tobytes()
    start = b"ilar" + struct.pack("<QQ", count, code_bytes)
    none = start + b"sprs" + struct.pack("<Q", 0)
    if not header.endswith(none):
        raise StorageError(
            f"faiss {faiss.__version__} writes an index in an unknown way; install that of requirements.lock"
        )
    with to.open("wb") as file:
        file.write(header.removesuffix(none) + start)
        sizes = [sum(int(each.list_size(number)) for each in lists) for number in range(count)]
        file.write(b"full" + struct.pack(f"<Q{count}Q", count, *sizes))
        for number in range(count):
            for each in lists:
                _put(file, each.get_codes(number), int(each.list_size(number)) * code_bytes)
            for each in lists:
                _put(file, each.get_ids(number), int(each.list_size(number)))
    return _mapped(to)


def _parts(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Yield runs of blocks, each of about `PART_ROWS` rows."""
    left = iter(blocks)

    def run(first: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield first
        rows = len(first[0])
        while rows < PART_ROWS and (block := next(left, None)):
            rows += len(block[0])
            yield block

    while first := next(left, None):
        yield run(first)


def _put(file: Any, pointer: Any, count: int) -> None:
    import faiss

    if count:
        file.write(faiss.rev_swig_ptr(pointer, count))


def _write(index: Any, path: Path) -> None:
    import faiss

    faiss.write_index(index, str(path))


def _mapped(path: Path) -> Any:
    import faiss

    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def _inverted(index: Any) -> Any:
    import faiss

    return faiss.try_extract_index_ivf(index)
