"""Filters captions that are certainly in another language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.filter.marking import MARKS, mark_filtered
from pipelines.stage import Batch, Work

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# A row is filtered if the wanted language is less likely than this. None of 6,073 English texts is: 94 short
# captions full of foreign names, 2,024 of the miniature world, 3,955 summaries of Debian packages; the least
# likely has 0.002. Of 78 short captions in 20 other languages, 76 % are. A bound of 0.9 on the likeliest
# language drops 41 % of those, and lingua, at ten times the cost, 29 %.
UNLIKELY = 0.001


@dataclass(frozen=True)
class DetectLanguage:
    """Records the language of every caption and marks those that are certainly in another.

    It runs before the fetch, so that an unwanted caption costs no request. Detection is unreliable for a few
    words, so a caption is marked only if it can hardly be in the wanted language; the list's own language
    column was applied when the dataset was planned.

    Attributes:
        language: ISO 639-1, as in `en`; None to record only.
    """

    language: str | None
    name: str = "language"
    reads: frozenset[str] = frozenset({"caption", "outcome", "reason"})
    adds: frozenset[str] = MARKS | {"language_detected", "language_confidence"}

    def open(self) -> Work:
        """Load the detector and return the work.

        Raises:
            ConfigError: the detector does not support the language.
        """
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        if self.language is not None and self.language not in detector.labels:
            raise ConfigError(
                f"filter.language is {self.language!r}, which the language detector does not know; "
                f"give one of {', '.join(sorted(detector.labels))}, or null to keep all"
            )
        return lambda batch: self._process(detector, batch)

    def _process(self, detector: LanguageIdentifier, batch: Batch) -> Batch:
        languages: list[str | None] = []
        confidences: list[float | None] = []
        unwanted: list[bool] = []
        for caption in batch["caption"]:
            scores = dict(detector.rank(caption)) if caption else {}
            language = max(scores, key=lambda name: scores[name], default=None)
            languages.append(language)
            # Three digits: the last ones differ between processors.
            confidences.append(None if language is None else round(float(scores[language]), 3))
            unwanted.append(bool(scores) and scores.get(self.language, 1.0) < UNLIKELY)
        columns: Batch = {"language_detected": languages, "language_confidence": confidences}
        return mark_filtered(batch | columns, lambda row: "language_detected" if unwanted[row] else None)
