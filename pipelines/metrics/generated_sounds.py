"""How far sounds are from each other, how different those of a class are, and whether any is a copy.

Shapes: N and M sounds, F frames of B mel bands, D dimensions of an embedding.
"""

from __future__ import annotations

import numpy as np

# Amplitudes below it are silence: -100 dB.
FLOOR = 1e-5
_ROWS_AT_ONCE = 1024


def log_mel_distance(one_NFB: np.ndarray, other_NFB: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Return the mean absolute difference of two mel spectrograms in dB [N]; twice as loud is 6.02.

    Args:
        one_NFB: amplitudes, at least 0.
        other_NFB: amplitudes of the sounds that they are compared with.
        floor: smaller amplitudes count as this one.
    """
    ratios_NFB = np.log10(np.maximum(one_NFB, floor)) - np.log10(np.maximum(other_NFB, floor))
    return np.asarray(np.abs(20 * ratios_NFB).mean((1, 2)))


def diversity_within_classes(unit_ND: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """Return class -> the mean of 1 - cosine over all pairs of its sounds; 0 where all are the same.

    A class of a single sound has none and is left out.

    Args:
        unit_ND: unit vectors.
        labels_N: class of each.
    """
    found: dict[str, float] = {}
    for label in np.unique(labels_N):
        vectors_nD = unit_ND[labels_N == label].astype(np.float64)
        count = len(vectors_nD)
        if count > 1:
            # The squared length of a sum is the sum of all cosines, of each with itself, too.
            total = float((vectors_nD.sum(0) ** 2).sum()) - float((vectors_nD**2).sum())
            found[str(label)] = 1 - total / (count * (count - 1))
    return found


def nearest_training_sounds(unit_ND: np.ndarray, training_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of the nearest training sound of each sound [N], and its cosine [N].

    Args:
        unit_ND: unit vectors.
        training_MD: unit vectors of all that was trained on.
    """
    rows_N, cosines_N = np.zeros(len(unit_ND), np.int64), np.zeros(len(unit_ND))
    for start in range(0, len(unit_ND), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        cosines_nM = unit_ND[part].astype(np.float64) @ training_MD.astype(np.float64).T
        rows_N[part] = cosines_nM.argmax(1)
        cosines_N[part] = cosines_nM.max(1)
    return rows_N, cosines_N


def copied_share(generated_N: np.ndarray, held_out_M: np.ndarray, quantile: float = 0.99) -> float:
    """Return the share of generated sounds that are nearer to training than real held-out ones ever are.

    1 - quantile is what the real law itself would have; more is memory.

    Args:
        generated_N: cosines to the nearest training sound.
        held_out_M: those of real sounds that were not trained on.
        quantile: of the held-out cosines, beyond which a sound counts as a copy.
    """
    return float((generated_N > np.quantile(held_out_M, quantile)).mean())
