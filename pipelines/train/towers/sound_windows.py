"""The windows of sounds as targets: each epoch, a picture of a clip is given another part of its sound.

Shapes: M windows, n pictures, O dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.errors import SpaceError
from pipelines.store.vectors import VectorReader
from pipelines.store.windows import read_windows
from schemas.space import Space


@dataclass(frozen=True, eq=False)
class SoundWindows:
    """The windows of all sounds of a version.

    Attributes:
        keys_M: of the clips, int64, ascending.
        units_MO: float16.
    """

    keys_M: np.ndarray
    units_MO: np.ndarray

    def draw(self, keys_n: np.ndarray, epochs_n: np.ndarray, means_nO: np.ndarray, seed: int) -> np.ndarray:
        """Return a window of each row's sound, float32 [n, O]; the given vector of a row without windows.

        Args:
            keys_n: of the rows, int64.
            epochs_n: of each row; another one draws another window.
            means_nO: the vectors of rows without windows.
            seed: of the draws.
        """
        starts_n = np.searchsorted(self.keys_M, keys_n, "left")
        counts_n = np.searchsorted(self.keys_M, keys_n, "right") - starts_n
        found_nO = means_nO.copy()
        for row, (start, count) in enumerate(zip(starts_n.tolist(), counts_n.tolist(), strict=True)):
            if count:
                rng = np.random.default_rng((seed, int(keys_n[row]), int(epochs_n[row]), 1))
                found_nO[row] = self.units_MO[start + int(rng.integers(count))]
        return found_nO


def read_sound_windows(reader: VectorReader, space: Space) -> SoundWindows:
    """Return the windows of a version.

    Args:
        reader: of the version.
        space: of the targets.

    Raises:
        SpaceError: the windows are in another space than the targets.
        StorageError: the set keeps no windows.
    """
    found, keys_M, _, units_MO = read_windows(reader.root, reader.set_name, reader.shards)
    if found != space:
        raise SpaceError(
            f"pairs.windows: the windows are in {found}, and the target in {space} "
            f"({found.describe_differences(space)}); name the column that the windows are of"
        )
    return SoundWindows(keys_M, units_MO)
