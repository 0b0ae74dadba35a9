"""The windows of a sound that is longer than its encoder's: where they lie, and the vector of each.

Shapes: W windows of a sound, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.encode.batch_assembler import VectorSlot
from pipelines.encode.encoder import Tower, pool_pieces
from pipelines.errors import ConfigError
from pipelines.store.windows import RowWindows

# The starts of the windows of a row's sound, from `DecodeStage` to `EncodeStage`.
STARTS = "window_starts_s"


def locate_windows(tower: Tower, item: bytes, count: int, segment_start_s: float | None) -> np.ndarray:
    """Return where the windows of a sound start in its clip, in seconds, float32 [W].

    They are NaN if the tower does not say it, by a method `locate_windows` that takes the sound.

    Args:
        tower: of sounds.
        item: the bytes of a sound file.
        count: pieces that the tower made of it.
        segment_start_s: where the sound starts in its clip; None if it is all of it.

    Raises:
        ConfigError: the tower cannot say it after all, or says it of another number of windows.
    """
    locate = getattr(tower, "locate_windows", None)
    if locate is None:
        return np.full(count, np.nan, np.float32)
    try:
        starts_W = np.asarray(locate(item), np.float32)
    except Exception as error:
        # The sound was decoded before: it is not the row's fault.
        raise ConfigError(
            f"{type(tower).__name__}.locate_windows fails ({type(error).__name__}: {error}); mend it, or "
            "take it out of the class"
        ) from error
    if starts_W.shape != (count,):
        raise ConfigError(
            f"{type(tower).__name__}.locate_windows gives starts of shape {starts_W.shape} for a sound of "
            f"{count} pieces; return one for each"
        )
    return starts_W + np.float32(segment_start_s or 0)


def collect_windows(starts_W: np.ndarray | None, slots: Sequence[VectorSlot] | None) -> RowWindows | None:
    """Return the windows of a row once they are encoded; None if it has none.

    Args:
        starts_W: in seconds.
        slots: of their vectors.
    """
    if starts_W is None or not slots:
        return None
    raw_WD = np.stack([slot.wait_for_vector() for slot in slots])
    return starts_W, pool_pieces(raw_WD, [1] * len(slots))[0].astype(np.float16)
