"""The way `caption`: the training caption that is nearest to the source, and then from text to the medium."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes, pick_nearest
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column, get_family
from schemas.generated import ModelRef


@dataclass(frozen=True)
class CaptionWay:
    """The nearest caption of the gallery.

    Attributes:
        searched: the column of captions in the family of the source.
        said: the column of captions in the family of the target; None where that has none.
    """

    searched: Column
    said: Column | None
    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="texts", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the captions, and their vectors in the family of the target."""
        picked_N = pick_nearest(rows.get_vectors("scored", bench.source), rows, self.searched)
        captions = rows.get_rows("gallery").captions
        units_ND = rows.get_vectors("gallery", self.said)[picked_N] if self.said else None
        return Crossing(units_ND, self.said, [captions[row] for row in picked_N.tolist()], picked_N)


def make_caption_way(argument: str, bench: Bench) -> CaptionWay:  # noqa: ARG001 - takes none
    """Return the way.

    Raises:
        ConfigError: the set has no captions in the family of the source.
    """
    searched = bench.find_text_column(bench.source)
    if searched is None:
        raise ConfigError(
            f"way caption: the set has no captions in the space of {bench.source}; build a set whose "
            f"{get_family(bench.source).upper()} embeds text, or leave the way out"
        )
    said = bench.find_text_column(bench.target)
    return CaptionWay(searched, said, tuple(filter(None, (bench.source, searched, said))))


WAYS = {"caption": make_caption_way}
