"""Score all ways of a direction by what the judges read off their outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.evaluate.judges.independence import share_weights
from pipelines.evaluate.judging import JudgeStep
from pipelines.evaluate.table import CrossedWay, ScoreTable
from pipelines.evaluate.translators import find_default_translator
from schemas.evaluation import EvaluationRow


def list_classes(rows: EvaluationSet) -> tuple[str, ...]:
    """Return the labels of both parts, by which judges classify; none if no row has one."""
    labels = {label for part in ("scored", "gallery") for label in rows.get_rows(part).labels or ()}
    return tuple(sorted(labels - {""}))


def score_ways(  # noqa: PLR0913, PLR0917
    rows: EvaluationSet,
    bench: Bench,
    ways: Sequence[CrossedWay],
    step: JudgeStep | None,
    outputs: Sequence[int],
    seed: int,
) -> list[EvaluationRow]:
    """Return the table.

    Args:
        rows: that are scored.
        bench: of the direction.
        ways: in the order of the table.
        step: whose shards are all committed; None without judges.
        outputs: of the step, the one of each way; 0 is the true media.
        seed: of resamples and galleries.

    Raises:
        ConfigError: a judge has nothing to say of a way.
    """
    table = ScoreTable(rows, bench, ways, seed)
    table.add_vectors()
    specs = {judge.name: judge for judge in step.stage.judges} if step else {}
    crossed_ND = _cross_sources(rows, bench) if specs else None
    for judge, spec in specs.items():
        assert step is not None
        real = step.read_readings(0, judge)
        findings = {
            way.planned.name: real if output == 0 else step.read_readings(output, judge)
            for way, output in zip(ways, outputs, strict=True)
        }
        is_in_target = share_weights(spec.spaces(), [bench.spaces[bench.target].identity])
        table.add_judge(judge, findings, real, step.stage.classes, crossed_ND if is_in_target else None)
    found = table.list_rows()
    for way in ways:
        own = [row for row in found if row.way == way.planned.name]
        silent = [judge for judge in specs if judge not in {row.judge for row in own}]
        if silent or not own:
            who = f"judge {silent[0]}" if silent else "no vector and no judge"
            raise ConfigError(
                f"way {way.planned.name}: {who} says nothing of its {bench.medium}s; name a judge that "
                "embeds or classifies them"
            )
    return found


def _cross_sources(rows: EvaluationSet, bench: Bench) -> np.ndarray | None:
    """Return the vectors of the sources by the default translator, float32 [N, D]; None if there is none."""
    default = find_default_translator(bench)
    if default is None or default.card.source != bench.source or default.card.target != bench.target:
        return None
    translator = default.open()
    units_ND = rows.get_vectors("scored", bench.source)
    return np.asarray(translator.translate(units_ND, translator.card.source_space))
