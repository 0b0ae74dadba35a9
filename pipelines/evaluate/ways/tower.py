"""The way `tower:COLUMN`: a tower that embeds the source in the space of the target; nothing translates."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, Crossing, Follow
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column, get_family, get_modality
from schemas.generated import ModelRef


@dataclass(frozen=True)
class TowerWay:
    """The vectors of a column that joins the family of the target."""

    source: Column
    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    is_text: bool = field(default=False, init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the stored vectors."""
        return Crossing(rows.get_vectors("scored", self.source), bench.target)


def make_tower_way(argument: str, bench: Bench) -> TowerWay:
    """Return the way.

    Raises:
        ConfigError: the set has no such column, it embeds another medium, or it is in another space.
    """
    way, modality = f"way tower:{argument}", get_modality(bench.source)
    wanted = f"{get_family(bench.target)}_{modality}"
    fitting = [
        column
        for column, space in bench.spaces.items()
        if column != bench.target and get_modality(column) == modality and bench.is_in_target(space)
    ]
    if argument not in fitting:
        raise ConfigError(
            f"{way}: the set has {', '.join(fitting) or 'no column'} of a tower from {modality} into the "
            f"space of {bench.target}, and {argument} is none; build a set with encode.{wanted}, or name "
            "another way"
        )
    return TowerWay(argument, (argument, bench.target))


WAYS = {"tower": make_tower_way}
