"""Files of sounds for nets of one rate: decoded, resampled by soxr's default (HQ), one after the other.

Shapes: N files, P pieces, T samples, D numbers of a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.loaders.waveform import decode_mono, find_window_starts
from pipelines.errors import UndecodableMediaError

RESAMPLER = "soxr HQ"


def read_waves(
    files: Sequence[bytes], rate_hz: int, window: int | None = None
) -> list[list[NDArray[np.float32]]]:
    """Return the pieces of every file; none of one that cannot be decoded.

    Args:
        files: of sounds.
        rate_hz: of the net.
        window: samples that it takes at most; longer sounds are cut into windows. None: any length.
    """
    waves: list[list[NDArray[np.float32]]] = []
    for file in files:
        try:
            wave_T = decode_mono(file, rate_hz)
        except UndecodableMediaError:
            waves.append([])
            continue
        size = window or len(wave_T)
        waves.append([wave_T[start : start + size] for start in find_window_starts(len(wave_T), size)])
    return waves


def run_pieces(
    waves: Sequence[Sequence[NDArray[np.float32]]],
    net: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    dims: int,
) -> NDArray[np.float32]:
    """Return the mean of a net's results over the pieces of every file, [N, D]; NaN of files without any.

    One piece at a time: lengths differ, and a result does not depend on its neighbours.

    Args:
        waves: of `read_waves`.
        net: of a wave [T] -> [D].
        dims: D.
    """
    found_ND = np.full((len(waves), dims), np.nan, np.float32)
    for row, pieces in enumerate(waves):
        if pieces:
            found_ND[row] = np.mean([net(piece) for piece in pieces], axis=0)
    return found_ND
