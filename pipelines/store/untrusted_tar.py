"""Members of tars that anybody may have written: every header is bounded before it is believed.

Python's `tarfile` follows what a header says. A negative size leads it back to the same header for ever, a
name of eight gigabytes is read into memory, and a chain of long names overflows the stack.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from pipelines.errors import DamagedArchiveError

# VGGSound's mirrors have some 200,000 members; one costs about 1 kB of memory while it is listed.
MAX_MEMBERS = 2_000_000
# Of a long name or the attributes of a member: the kernel allows 4 kB for a path.
_MAX_HEADER_BYTES = 64 * 2**10
# Of all headers of a member: a map of a sparse file has no other end than that of the tar.
_MAX_MEMBER_HEADER_BYTES = 4 * _MAX_HEADER_BYTES


def iterate_infos(file: IO[bytes], max_members: int = MAX_MEMBERS) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar in their order; their bytes are skipped by a seek.

    Args:
        file: that can seek.
        max_members: of the tar.

    Raises:
        DamagedArchiveError: it is no tar, a header is none that an honest program writes, its end is missing
            or it has too many members.
    """
    try:
        reader = _HeaderReader(file)
        with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r:") as tar:
            before, number = -1, 0
            while (info := tar.next()) is not None:
                reader.left = _MAX_MEMBER_HEADER_BYTES
                if info.size < 0 or info.offset_data <= before:
                    raise DamagedArchiveError(f"its member {info.name[:80]!r} has the size {info.size}")
                if number >= max_members:
                    raise DamagedArchiveError(f"it has more than {max_members:,} members")
                before, number = info.offset_data, number + 1
                # It keeps every member, and would hold a tar of millions in memory twice.
                tar.members = []  # type: ignore[attr-defined]
                # It gives every member a copy of what a tar says of all: 5,000 attributes in 64 kB.
                tar.pax_headers, info.pax_headers = {}, {}
                yield info
    except RecursionError as error:
        raise DamagedArchiveError("its headers are nested too deeply") from error
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise DamagedArchiveError(f"it cannot be read ({' '.join(str(error).split())[:200]})") from error


def read_member(file: IO[bytes], info: tarfile.TarInfo, max_bytes: int) -> bytes:
    """Return the bytes of a member.

    Args:
        file: the tar.
        info: of the member.
        max_bytes: of the member.

    Raises:
        DamagedArchiveError: it is larger, no regular file, or the tar ends within it.
    """
    if not info.isreg() or info.issparse():
        raise DamagedArchiveError(f"its member {info.name[:80]!r} is no regular file")
    if info.size > max_bytes:
        raise DamagedArchiveError(f"its member {info.name[:80]!r} has {info.size:,} bytes")
    file.seek(info.offset_data)
    if len(data := file.read(info.size)) < info.size:
        raise DamagedArchiveError(f"it cannot be read: it ends within {info.name[:80]!r}")
    return data


class _HeaderReader:
    """A file of which `tarfile` reads the headers alone.

    Attributes:
        left: bytes that the headers of the next member may still have.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.left = _MAX_MEMBER_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        """Return the bytes of a header.

        Raises:
            DamagedArchiveError: they are more than a header has.
        """
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise DamagedArchiveError(f"it has a header of {size:,} bytes")
        self.left -= size
        if self.left < 0:
            raise DamagedArchiveError("a member has more headers than any has")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """Go to a position.

        Raises:
            DamagedArchiveError: there is none such in any file.
        """
        if not 0 <= position < 2**63:
            raise DamagedArchiveError(f"it leads to the byte {position}")
        return self._file.seek(position)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
