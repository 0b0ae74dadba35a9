"""The way `untrained`: the default crossing with weights that were only drawn, before the default output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.evaluate.bench import Bench, Crossing, Follow, Makes
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.evaluate.translators import find_default_translator
from schemas.families import Column
from schemas.generated import ModelRef
from schemas.training import Experiment


@dataclass(frozen=True)
class UntrainedWay:
    """A net that learned nothing: what chance reaches with this output.

    Attributes:
        cell: of the net, whose seed its weights are drawn from.
        source: the column that it is given.
    """

    cell: Experiment
    source: Column
    columns: tuple[Column, ...]
    follow: Follow = field(default="output", init=False)
    makes: Makes = field(default="vectors", init=False)
    models: tuple[ModelRef, ...] = ()

    def cross(self, rows: EvaluationSet, bench: Bench) -> Crossing:
        """Return vectors of the target's size."""
        import torch

        from pipelines.models.registry import build_net

        source_ND = rows.get_vectors("scored", self.source)
        net: Any = build_net(self.cell, (source_ND.shape[1], bench.spaces[bench.target].dims)).eval()
        with torch.inference_mode():
            units_ND = net.translate(torch.from_numpy(source_ND.astype(np.float32)))[0].numpy()
        return Crossing(units_ND, bench.target)


def make_untrained_way(argument: str, bench: Bench) -> UntrainedWay:  # noqa: ARG001 - takes none
    """Return the way: the net of the default translator if it has one, else the first seed's."""
    default = find_default_translator(bench)
    cell = default.card.cell if default else None
    # A closed form has no weights to draw.
    drawn = (cell or Experiment(data="untrained")).model_copy(update={"seed": bench.seed})
    return UntrainedWay(drawn, bench.source, (bench.source,))


WAYS = {"untrained": make_untrained_way}
