"""What one judge has found in files that came in pieces, and what that says of two sets of files.

Shapes: N files, C classes, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate.judges.judge import JudgeSpec, MediaJudge
from pipelines.evaluate.sets import compare_sets
from pipelines.metrics.alignment import cosine_of_pairs
from schemas.generated import SetScores


@dataclass(frozen=True)
class JudgedRow:
    """What is known of a sample.

    Attributes:
        source_key: of the row that it was generated from; empty if of none.
        caption: of its prompt; may be empty.
        expected: its class; None if unknown.
    """

    source_key: str
    caption: str
    expected: str | None


@dataclass
class JudgeTally:
    """A judge, and what it has found so far; a file that it cannot decode counts in nothing.

    Attributes:
        spec: of the judge.
        judge: opened.
        classes: words.
    """

    spec: JudgeSpec
    judge: MediaJudge
    classes: tuple[str, ...]
    _vectors: list[NDArray[np.float32]] = field(default_factory=list, init=False)
    _named: list[NDArray[np.float32]] = field(default_factory=list, init=False)
    # Of the classes that the judge has itself, for KL and IS; those that were named if it has none.
    _own: list[NDArray[np.float32]] = field(default_factory=list, init=False)

    def look(self, files: Sequence[bytes]) -> None:
        """Add what the judge finds in files."""
        self._vectors.append(self.judge.embed(files))
        named = self.judge.classify(files, self.classes)
        own = self.judge.classify(files, ())
        self._named += [] if named is None else [named]
        self._own += [each for each in (named if own is None else own,) if each is not None]

    def copy_empty(self) -> JudgeTally:
        """Return a tally of the same judge that has seen nothing."""
        return JudgeTally(self.spec, self.judge, self.classes)

    def find_usable(self) -> list[int]:
        """Return the files that could be decoded."""
        return np.flatnonzero(np.isfinite(self.join_vectors()).all(1)).tolist()

    def join_vectors(self) -> NDArray[np.float32]:
        """Return the vectors of all files, [N, D]."""
        return np.concatenate(self._vectors) if self._vectors else np.empty((0, 1), np.float32)

    def name_classes(self) -> list[str] | None:
        """Return the best class of each file; None if the judge does not know the classes."""
        if not self._named:
            return None
        logits_NC = np.concatenate(self._named)
        best_N = np.where(np.isfinite(logits_NC), logits_NC, -np.inf).argmax(1)
        return [self.classes[best] for best in best_N]

    def join_logits(self) -> NDArray[np.float32] | None:
        """Return the logits of the judge's own classes, else of the named ones; None if there are none."""
        return np.concatenate(self._own) if self._own else None

    def score_texts(self, captions: Sequence[str]) -> float | None:
        """Return the mean cosine of files and their captions; None without a text tower or captions."""
        captioned = [row for row in self.find_usable() if captions[row]]
        texts_ND = self.judge.embed_texts([captions[row] for row in captioned]) if captioned else None
        if texts_ND is None:
            return None
        return float(cosine_of_pairs(self.join_vectors()[captioned], texts_ND).mean())


def compare_tallies(
    made: JudgeTally, real: JudgeTally, rows: Sequence[JudgedRow], real_keys: Sequence[str]
) -> SetScores | None:
    """Return the scores of generated samples against the real media of their rows.

    Args:
        made: of the samples.
        real: of the real media.
        rows: of the samples.
        real_keys: of the real media.

    Returns:
        None without two of each that could be decoded.
    """
    kept, real_kept = made.find_usable(), real.find_usable()
    if min(len(kept), len(real_kept)) < 2:
        return None
    places = {real_keys[row]: number for number, row in enumerate(real_kept)}
    keys = [rows[row].source_key for row in kept]
    pairs = [(number, places[key]) for number, key in enumerate(keys) if key in places]
    own, other = made.join_logits(), real.join_logits()
    return compare_sets(
        made.join_vectors()[kept],
        real.join_vectors()[real_kept],
        logits=None if own is None or other is None else (own[kept], other[real_kept]),
        pairs=pairs,
        medium=made.judge.medium,
    )
