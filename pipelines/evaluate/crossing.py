"""Cross all scored rows by all ways, and back again where something leads back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.evaluate.bench import Bench, Crossing, PlannedWay, pick_nearest
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.evaluate.translators import FoundTranslator, find_default_translator
from pipelines.generate.stages import make_single_threaded


def cross_ways(
    rows: EvaluationSet, bench: Bench, ways: Sequence[PlannedWay]
) -> list[tuple[Crossing, np.ndarray | None]]:
    """Return what each way makes of the rows, and its vectors taken back into the space of the source.

    What is neither real nor generated is the nearest item of the gallery, which is chosen here.

    Args:
        rows: with their vectors.
        bench: of the direction.
        ways: to cross by.
    """
    make_single_threaded()
    back = find_default_translator(bench.reverse())
    found = []
    for planned in ways:
        crossing = planned.way.cross(rows, bench)
        if planned.way.follow == "output" and planned.generator is None:
            crossing = _pick(crossing, rows, bench)
        elif planned.way.makes == "texts" and _reads_source(planned, bench):
            crossing = replace(crossing, sources_ND=rows.get_vectors("scored", bench.source))
        found.append((crossing, take_back(crossing, back, bench)))
    return found


def _reads_source(planned: PlannedWay, bench: Bench) -> bool:
    return planned.generator is not None and planned.generator.info.columns == (bench.source,)


def _pick(crossing: Crossing, rows: EvaluationSet, bench: Bench) -> Crossing:
    """Return a crossing with the item of the gallery that is nearest to its vectors."""
    if bench.medium == "text" and crossing.texts is not None:
        return crossing
    assert crossing.units_ND is not None
    return replace(crossing, picked_N=pick_nearest(crossing.units_ND, rows, bench.target))


def take_back(crossing: Crossing, back: FoundTranslator | None, bench: Bench) -> np.ndarray | None:
    """Return the vectors of a crossing in the space of the source; None if nothing leads back.

    Args:
        crossing: of a way.
        back: a translator from the target to the source; None if there is none.
        bench: of the direction.
    """
    if back is None or crossing.units_ND is None:
        return None
    if not back.card.source_space.is_comparable(bench.spaces[bench.target]):
        return None
    translator = back.open()
    # Of its own card: a shipped one is of spaces that may be another precision or version than the set's.
    return np.asarray(translator.translate(crossing.units_ND, translator.card.source_space))
