"""The way `retrieval`: the training row whose source is nearest, and its item of the target medium."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes, pick_nearest
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column
from schemas.generated import ModelRef


@dataclass(frozen=True)
class RetrievalWay:
    """The nearest of the gallery, within the space of the source."""

    columns: tuple[Column, ...]
    follow: Follow = field(default="picked", init=False)
    makes: Makes = field(default="vectors", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return the rows of the gallery, and the vectors of their items."""
        picked_N = pick_nearest(rows.get_vectors("scored", bench.source), rows, bench.source)
        return Crossing(rows.get_vectors("gallery", bench.target)[picked_N], bench.target, picked_N=picked_N)


def make_retrieval_way(argument: str, bench: Bench) -> RetrievalWay:  # noqa: ARG001 - takes none
    """Return the way."""
    return RetrievalWay((bench.source,))


WAYS = {"retrieval": make_retrieval_way}
