"""The way `unconditional`: no words at all, which is what an output shows whatever it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from schemas.families import Column
from schemas.generated import ModelRef


@dataclass(frozen=True)
class UnconditionalWay:
    """An empty text for every row."""

    columns: tuple[Column, ...] = ()
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="texts", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:  # noqa: ARG002 - needs no bench
        """Return empty texts."""
        return Crossing(texts=[""] * len(rows.get_rows("scored").ids))


def make_unconditional_way(argument: str, bench: Bench) -> UnconditionalWay:  # noqa: ARG001 - takes neither
    """Return the way."""
    return UnconditionalWay()


WAYS = {"unconditional": make_unconditional_way}
