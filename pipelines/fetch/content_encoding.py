"""`Content-Encoding` headers: what is packed is unpacked, and what only says so is taken as it is."""

from __future__ import annotations

import zlib

_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP = b"\x1f\x8b"


class ContentDecoder:
    """Unpacks one body, chunk by chunk.

    We ask for no encoding (`identity`). Servers send gzip and deflate all the same, and headers that name no
    encoding at all (`none`, `UTF-8`, `aws-chunked`) or one that the bytes do not have. So the bytes decide:
    no picture, sound or video begins as gzip or zlib do. Of other encodings (`br`, `zstd`) the bytes come out
    as they are, and whoever decodes the media will say what they are.

    Args:
        header: the value of Content-Encoding, or "".
    """

    def __init__(self, header: str) -> None:
        names = (name.strip() for name in header.lower().split(","))
        self._undecided = bool(header) and not _PACKED.isdisjoint(names)
        self._start = b""
        self._inflater: zlib._Decompress | None = None

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        """Return the bytes of a chunk, unpacked up to `max_bytes`; they may come with a later chunk.

        Raises:
            zlib.error: it is damaged.
        """
        if self._undecided:
            data = self._start + data
            if len(data) < len(_GZIP):
                self._start = data
                return b""
            self._undecided = False
            if _is_packed(data):
                self._inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
        return self._inflater.decompress(data, max_bytes) if self._inflater else data

    def finish(self) -> bytes:
        """Return what is left at the end of the body."""
        return self._start if self._undecided else b""


def _is_packed(data: bytes) -> bool:
    """Return whether bytes begin as gzip, or as zlib does (RFC 1950: method 8, and a check of two bytes)."""
    zlib_header = data[0] & 15 == 8 and data[0] >> 4 <= 7 and int.from_bytes(data[:2]) % 31 == 0
    return data.startswith(_GZIP) or zlib_header
