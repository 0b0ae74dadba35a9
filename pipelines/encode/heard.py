"""Which part of a sound fits prompts: the scores of its segments, and neighbours that become one.

Shapes: N segments of a sound, K texts (the prompts, then the distractors).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class HeardPart(NamedTuple):
    """A part of a sound.

    Attributes:
        start_s: in seconds of the sound.
        end_s: where it ends.
        score: of its best segment.
    """

    start_s: float
    end_s: float
    score: float


def compute_shares(cosines_NK: np.ndarray, prompts: int, temperature: float) -> np.ndarray:
    """Return the share of the prompts among all texts by a softmax, [N]: 0 to 1; NaN stays NaN.

    Args:
        cosines_NK: of every segment to every text.
        prompts: how many of the texts, the first ones, are prompts.
        temperature: of the softmax.
    """
    weights_NK = np.exp((cosines_NK - cosines_NK.max(axis=1, keepdims=True)) / temperature)
    shares_N: np.ndarray = weights_NK[:, :prompts].sum(axis=1) / weights_NK.sum(axis=1)
    return shares_N


def find_heard_part(
    starts_s: Sequence[float], ends_s: Sequence[float], scores_N: np.ndarray, threshold: float | None
) -> HeardPart | None:
    """Return the best segment, with the neighbours on both sides that are heard, too.

    Neighbours overlap or touch: where segments are tried further apart than they are long, none are merged.

    Args:
        starts_s: of the segments, ascending.
        ends_s: of the segments.
        scores_N: of the segments.
        threshold: the score from which on a neighbour is heard; None to merge none.

    Returns:
        None if no segment has a score.
    """
    if not np.isfinite(scores_N).any():
        return None
    best = first = last = int(np.nanargmax(scores_N))
    score = float(scores_N[best])
    if threshold is not None and score >= threshold:
        while first > 0 and scores_N[first - 1] >= threshold and ends_s[first - 1] >= starts_s[first]:
            first -= 1
        while (
            last + 1 < len(starts_s)
            and scores_N[last + 1] >= threshold
            and ends_s[last] >= starts_s[last + 1]
        ):
            last += 1
    return HeardPart(starts_s[first], ends_s[last], score)
