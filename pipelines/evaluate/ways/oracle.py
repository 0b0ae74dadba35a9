"""The ways `true-caption` and `true-label`: what the row itself is said to show, given to the output as text.

Nothing crosses: they say what an output reaches at most if it is told the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column
from schemas.generated import ModelRef


@dataclass(frozen=True)
class TrueCaptionWay:
    """The caption of the row.

    Attributes:
        said: the column of captions in the family of the target; None where that has none.
    """

    said: Column | None
    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="texts", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:  # noqa: ARG002 - needs no bench
        """Return the captions, and their vectors in the family of the target."""
        units_ND = rows.get_vectors("scored", self.said) if self.said else None
        return Crossing(units_ND, self.said, list(rows.get_rows("scored").captions))


@dataclass(frozen=True)
class TrueLabelWay:
    """The label of the row, in a sentence."""

    columns: tuple[Column, ...] = ()
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="texts", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return a sentence a row.

        Raises:
            ConfigError: the rows have no labels.
        """
        labels = rows.get_rows("scored").labels
        if labels is None:
            raise ConfigError(
                "way true-label: these rows have no labels; give the list some, or leave the way out"
            )
        form = "a photo of a {}" if bench.medium == "picture" else "the sound of a {}"
        return Crossing(texts=[form.format(label) if label else "" for label in labels])


def make_true_caption_way(argument: str, bench: Bench) -> TrueCaptionWay:  # noqa: ARG001 - takes none
    """Return the way."""
    said = bench.find_text_column(bench.target)
    return TrueCaptionWay(said, (said,) if said else ())


def make_true_label_way(argument: str, bench: Bench) -> TrueLabelWay:  # noqa: ARG001 - takes neither
    """Return the way."""
    return TrueLabelWay()


WAYS = {"true-caption": make_true_caption_way, "true-label": make_true_label_way}
