"""The layout of a FAISS file, checked before FAISS opens it: only the kinds of index that we build.

FAISS believes what a file says: inverted lists on disk (`ilod`) name another file, which is then mapped to be
read and written, and a length of a terabyte is allocated before a byte of it is read. The layout is that of
`faiss/impl/index_read.cpp`, of version 1.15.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.errors import StorageError

# Flat, by its three type codes, maps of ids, and inverted lists of codes of SQ, of PQ and of plain vectors.
_FLAT = (b"IxFI", b"IxF2", b"IxFl")
_ID_MAPS = (b"IxMp", b"IxM2")
_LISTS_OF_SCALARS, _LISTS_OF_PRODUCTS, _LISTS_OF_VECTORS = b"IwSq", b"IwPQ", b"IwFl"
_PRE_TRANSFORM, _ROTATIONS = b"IxPT", (b"LTra", b"rrot")
_KINDS = (*_FLAT, *_ID_MAPS, _PRE_TRANSFORM, _LISTS_OF_SCALARS, _LISTS_OF_PRODUCTS, _LISTS_OF_VECTORS)
# Of faiss.ScalarQuantizer: QT_fp16.
_FP16 = 4
# An index, its rotation, its lists and their quantizer.
_MAX_DEPTH = 4


def check_index_file(path: Path, dims: int, name: str) -> None:
    """Check that a file is laid out as an index of ours.

    Args:
        path: of the file.
        dims: of its vectors.
        name: of the file, for the error.

    Raises:
        StorageError: it is not.
        FileNotFoundError: there is none.
    """
    with path.open("rb") as file:
        layout = _LayoutReader(file, path.stat().st_size)
        try:
            layout.read_index(dims, _MAX_DEPTH)
        except _LayoutError as error:
            raise StorageError(
                f"{name} is no index that Echolens builds ({error}); "
                "take that version away and run the build again"
            ) from error


class _LayoutError(Exception):
    """A file is laid out otherwise."""


class _LayoutReader:
    """Reads the fields of a file, and skips its arrays."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read_index(self, dims: int, depth: int, rows: int | None = None) -> None:
        """Read an index, and those within it.

        Args:
            dims: of its vectors.
            depth: of the indices that may lie within it.
            rows: that it must have; any number if None.
        """
        kind = self._read_bytes(4)
        if not depth:
            raise _LayoutError("its parts are nested too deeply")
        if kind not in _KINDS:
            raise _LayoutError(f"it begins with {kind!r}")
        found, count, _, _, _, metric = self._read("<iqqq?i")
        if found != dims or metric not in (0, 1):
            raise _LayoutError(f"it is of {found} dimensions and metric {metric}, and {dims} were expected")
        if count < 0 or rows not in (None, count):
            raise _LayoutError(f"it has {count} vectors")
        if kind in _FLAT:
            self._skip_array(4, count * dims)
        elif kind in _ID_MAPS:
            self.read_index(dims, depth - 1, count)
            self._skip_array(8, count)
        elif kind == _PRE_TRANSFORM:
            self._read_rotations(dims, depth, count)
        else:
            self._read_lists_index(kind, dims, depth, count)

    def _read_rotations(self, dims: int, depth: int, rows: int) -> None:
        (count,) = self._read("<i")
        if not 0 <= count <= 2:
            raise _LayoutError(f"it has {count} rotations")
        for _ in range(count):
            if (kind := self._read_bytes(4)) not in _ROTATIONS:
                raise _LayoutError(f"it has a rotation {kind!r}")
            self._read("<?")
            cells, biases = self._skip_array(4), self._skip_array(4)
            dims_in, dims_out, _ = self._read("<ii?")
            if dims_in != dims or dims_out < 1 or cells != dims * dims_out or biases not in (0, dims_out):
                raise _LayoutError(f"it has a rotation of {cells} cells from {dims_in} to {dims_out}")
            dims = dims_out
        self.read_index(dims, depth - 1, rows)

    def _read_lists_index(self, kind: bytes, dims: int, depth: int, rows: int) -> None:
        lists, _ = self._read("<QQ")
        self.read_index(dims, depth - 1, lists)
        # A map from ids to lists, which nothing here uses.
        (direct_map,) = self._read("<b")
        if direct_map or self._skip_array(8):
            raise _LayoutError("it has a direct map")
        if kind == _LISTS_OF_SCALARS:
            code_bytes = self._read_scalar_quantizer(dims)
        elif kind == _LISTS_OF_PRODUCTS:
            code_bytes = self._read_product_quantizer(dims)
        else:
            code_bytes = 4 * dims
        self._read_lists(lists, code_bytes, rows)

    def _read_scalar_quantizer(self, dims: int) -> int:
        kind, _, _, own_dims, code_bytes = self._read("<iifQQ")
        self._skip_array(4)
        again, _ = self._read("<Q?")
        if kind != _FP16 or own_dims != dims or not code_bytes == again == 2 * dims:
            raise _LayoutError(f"it has scalars of the kind {kind}, {code_bytes} bytes a vector")
        return int(code_bytes)

    def _read_product_quantizer(self, dims: int) -> int:
        _, code_bytes = self._read("<?Q")
        own_dims, parts, bits = self._read("<QQQ")
        if own_dims != dims or bits != 8 or not 0 < parts <= dims or code_bytes != parts:
            raise _LayoutError(f"it has products of {parts} parts of {bits} bits")
        self._skip_array(4, dims * 2**bits)
        return int(code_bytes)

    def _read_lists(self, lists: int, code_bytes: int, rows: int) -> None:
        kind = self._read_bytes(4)
        if kind != b"ilar":
            raise _LayoutError(f"its lists are {kind!r}")
        found = self._read("<QQ")
        if found != (lists, code_bytes):
            raise _LayoutError(f"it has {found[0]} lists with codes of {found[1]} bytes")
        layout = self._read_bytes(4)
        (numbers,) = self._read("<Q")
        if numbers > self._size // 8 or not (
            (layout == b"full" and numbers == lists) or (layout == b"sprs" and not numbers % 2)
        ):
            raise _LayoutError(f"it has {numbers} lengths of lists, {layout!r}")
        lengths = struct.unpack(f"<{numbers}Q", self._read_bytes(8 * numbers))
        if layout == b"sprs":
            if any(number >= lists for number in lengths[::2]):
                raise _LayoutError("it has the length of a list that it has not")
            lengths = lengths[1::2]
        if sum(lengths) != rows:
            raise _LayoutError(f"its lists have {sum(lengths)} vectors, and it has {rows}")
        self._skip(rows * (code_bytes + 8))

    def _skip_array(self, item_bytes: int, expected: int | None = None) -> int:
        count: int = self._read("<Q")[0]
        if expected not in (None, count):
            raise _LayoutError(f"it has an array of {count} items, and {expected} were expected")
        self._skip(count * item_bytes)
        return count

    def _skip(self, count: int) -> None:
        at = self._file.tell()
        if count > self._size - at:
            raise _LayoutError(f"an array at byte {at} is longer than the file")
        self._file.seek(at + count)

    def _read(self, form: str) -> Any:
        return struct.unpack(form, self._read_bytes(struct.calcsize(form)))

    def _read_bytes(self, count: int) -> bytes:
        if len(data := self._file.read(count)) < count:
            raise _LayoutError("its end is missing")
        return data
