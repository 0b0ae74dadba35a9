"""The way `real`: the media of the rows themselves, which is what a judge can reach at most."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column
from schemas.generated import ModelRef


@dataclass(frozen=True)
class RealWay:
    """No crossing at all."""

    follow: Follow = field(default="real", init=False)
    makes: Makes = field(default="vectors", init=False)
    columns: tuple[Column, ...] = ()
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the vectors of the true media."""
        return Crossing(rows.get_vectors("scored", bench.target), bench.target)


def make_real_way(argument: str, bench: Bench) -> RealWay:  # noqa: ARG001 - takes neither
    """Return the way."""
    return RealWay()


WAYS = {"real": make_real_way}
