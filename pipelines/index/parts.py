"""An index too large for memory: filled part by part, then merged on disk, so that memory holds one part.

FAISS merges in memory only. Its file ends with the inverted lists, one after the other, so the lists of the
parts are concatenated while they are written, each read from the parts' memory-mapped files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import StorageError

# 10 GB of 512 dimensions in float16.
PART_ROWS = 10_000_000


def fill_index(
    empty: Any,
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    rows: int,
    make_scratch: Callable[[], Path],
) -> Any:
    """Add the rows of all blocks to a trained index, and return it, or the merged one.

    Args:
        empty: the trained index.
        blocks: keys, int64 [N], and unit vectors, float32 [N, D].
        rows: of all blocks; with more than `PART_ROWS` the index is built of parts, and memory-mapped.
        make_scratch: returns a folder for the parts and the merged file, which must outlive the index.
    """
    if rows <= PART_ROWS or _get_inverted(empty) is None:
        for keys, vectors_ND in blocks:
            empty.add_with_ids(vectors_ND, keys)
        return empty
    folder = make_scratch()
    parts = []
    for number, part in enumerate(_split_parts(blocks)):
        for keys, vectors_ND in part:
            empty.add_with_ids(vectors_ND, keys)
        parts.append(folder / f"{number:05d}")
        _write(empty, parts[-1])
        empty.reset()
    return merge_parts(empty, parts, folder / "whole")


def merge_parts(empty: Any, parts: Sequence[Path], to: Path) -> Any:
    """Write the index that holds the rows of all parts, and return it memory-mapped.

    Args:
        empty: the trained index, without rows.
        parts: files of that index with rows.
        to: the file to write.

    Raises:
        StorageError: this version of FAISS has another file format.
    """
    import faiss

    indices = [_map(part) for part in parts]
    lists = [_get_inverted(index).invlists for index in indices]
    count, code_bytes = int(lists[0].nlist), int(lists[0].code_size)
    # The header has the number of rows; behind it come the lists' kind, number, code size and lengths.
    empty.ntotal = _get_inverted(empty).ntotal = sum(int(index.ntotal) for index in indices)
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
                _write_array(file, each.get_codes(number), int(each.list_size(number)) * code_bytes)
            for each in lists:
                _write_array(file, each.get_ids(number), int(each.list_size(number)))
    return _map(to)


def _split_parts(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Yield runs of blocks, each of about `PART_ROWS` rows."""
    remaining = iter(blocks)

    def take_part(first: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield first
        rows = len(first[0])
        while rows < PART_ROWS and (block := next(remaining, None)):
            rows += len(block[0])
            yield block

    while first := next(remaining, None):
        yield take_part(first)


def _write_array(file: Any, pointer: Any, count: int) -> None:
    import faiss

    if count:
        file.write(faiss.rev_swig_ptr(pointer, count))


def _write(index: Any, path: Path) -> None:
    import faiss

    faiss.write_index(index, str(path))


def _map(path: Path) -> Any:
    import faiss

    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def _get_inverted(index: Any) -> Any:
    import faiss

    return faiss.try_extract_index_ivf(index)
