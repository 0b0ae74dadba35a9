"""Finds hashes that differ in few bits, without comparing all with all.

Two hashes are compared if one of 14 bands of 16 neighbouring bits is equal: near ones differ first in their
highest frequencies. Of 10 million rows each is compared with some 150 others a band, and never with more than
`_MOST_COMPARED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

_BAND_BITS = 16
# Where the bands of a half begin; each overlaps the next.
_STARTS = range(0, 64 - _BAND_BITS + 1, 8)
# Of one band, in the order of the other bits: near hashes stand together in a band that is shared by many.
_MOST_COMPARED = 256


def unpack_hashes(hashes: Iterable[str]) -> np.ndarray:
    """Return hashes of 32 hexadecimal digits as uint64 `[N, 2]`: the even half, then the odd."""
    words_N2: np.ndarray = (
        np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64).reshape(-1, 2)
    )
    return words_N2


def measure_distances(first_N2: np.ndarray, second_N2: np.ndarray, mirrors: bool) -> np.ndarray:
    """Return in how many bits hashes differ, int64 `[N]`.

    Args:
        first_N2: uint64.
        second_N2: uint64.
        mirrors: whether the second may be of a mirrored picture, whose odd half is inverted.
    """
    even_N, odd_N = np.bitwise_count(first_N2 ^ second_N2).astype(np.int64).T
    return np.asarray(even_N + (np.minimum(odd_N, 64 - odd_N) if mirrors else odd_N))


def find_near(hashes_N2: np.ndarray, most_bits: int, mirrors: bool) -> Iterator[np.ndarray]:
    """Yield pairs of rows, int64 `[n, 2]`, whose hashes are near; a pair may come several times.

    Args:
        hashes_N2: uint64.
        most_bits: in which near hashes differ.
        mirrors: whether mirrored pictures are near, too.
    """
    for half in (0, 1):
        for start in _STARTS:
            bits_N = (hashes_N2[:, half] >> np.uint64(start)) & np.uint64(2**_BAND_BITS - 1)
            if mirrors and half == 1:
                # The same of a band and of its inverse.
                bits_N = np.where(bits_N & np.uint64(1), bits_N ^ np.uint64(2**_BAND_BITS - 1), bits_N)
            order = np.lexsort((hashes_N2[:, half], hashes_N2[:, 1 - half], bits_N))
            yield from _compare_neighbours(hashes_N2, order, bits_N[order], most_bits, mirrors)


def _compare_neighbours(
    hashes_N2: np.ndarray, order: np.ndarray, bits_N: np.ndarray, most_bits: int, mirrors: bool
) -> Iterator[np.ndarray]:
    for step in range(1, min(_MOST_COMPARED, len(order) - 1) + 1):
        places = np.flatnonzero(bits_N[step:] == bits_N[:-step])
        if not len(places):
            return
        first, second = order[places], order[places + step]
        is_near = measure_distances(hashes_N2[first], hashes_N2[second], mirrors) <= most_bits
        if is_near.any():
            yield np.stack([first[is_near], second[is_near]], 1)
