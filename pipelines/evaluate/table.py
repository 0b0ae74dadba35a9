"""The table: every way, judge and score as a row, with intervals over groups and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.evaluate.bench import Bench, Crossing, PlannedWay
from pipelines.evaluate.evaluation_set import EvaluationSet
from pipelines.evaluate.judge_scores import score_files
from pipelines.evaluate.judging import JudgeFindings
from pipelines.evaluate.set_scores import SetScore, score_set
from pipelines.evaluate.vector_scores import score_label_sets, score_pairs, score_transfer
from pipelines.metrics import bootstrap
from pipelines.metrics.alignment import cosine_of_pairs
from pipelines.metrics.bootstrap import Estimate
from schemas.evaluation import EvaluationRow, ScoreInterval

# Ways beside which every other one is put.
_BESIDE = ("caption", "real")
_VECTOR = "vector"
# Scores of a look into a gallery.
_GALLERY_SCORES = ("r1", "r5", "r10", "map10")
# Those among clips that have labels.
_LABEL_SCORES = ("r1_labels", "r5_labels", "r10_labels", "map_labels")


@dataclass(frozen=True, eq=False)
class CrossedWay:
    """A way, what it made of the rows, and which judges it owes nothing.

    Attributes:
        planned: the way.
        crossing: of it.
        cycled_ND: its vectors, taken back into the space of the source; None if nothing leads back.
        independent: judge -> whether it shares no space with what made or chose the output.
    """

    planned: PlannedWay
    crossing: Crossing
    cycled_ND: np.ndarray | None = None
    independent: Mapping[str, bool] = field(default_factory=dict)


class ScoreTable:
    """Collects the rows of one direction.

    Args:
        rows: that are scored.
        bench: of the direction.
        ways: in the order of the table.
        seed: of resamples and galleries.
    """

    def __init__(self, rows: EvaluationSet, bench: Bench, ways: Sequence[CrossedWay], seed: int) -> None:
        self._set, self._bench, self._seed = rows, bench, seed
        self._ways = {way.planned.name: way for way in ways}
        self._rows = rows.get_rows("scored")
        self._table: list[EvaluationRow] = []
        self._gallery = self._labelled = 0

    def list_rows(self) -> list[EvaluationRow]:
        """Return the rows, way by way."""
        order = list(self._ways)
        return sorted(self._table, key=lambda row: order.index(row.way))

    def add_vectors(self) -> None:
        """Add the scores of all ways that have vectors."""
        groups_N = self._rows.groups_N
        targets_ND = self._set.get_vectors("scored", self._bench.target)
        source_ND = self._set.get_vectors("scored", self._bench.source)
        units = {
            name: way.crossing.units_ND
            for name, way in self._ways.items()
            if way.crossing.units_ND is not None
        }
        by_score: dict[str, dict[str, np.ndarray]] = {}
        self._gallery = int(np.isfinite(targets_ND).all(1).sum())
        has_targets = self._gallery > 0
        for name, units_ND in units.items():
            for score, values_N in score_pairs(units_ND, targets_ND, groups_N).items() if has_targets else ():
                by_score.setdefault(score, {})[name] = values_N
            if (cycled_ND := self._ways[name].cycled_ND) is not None:
                by_score.setdefault("cycle_cosine", {})[name] = cosine_of_pairs(cycled_ND, source_ND)
        if (label_sets := self._rows.label_sets) is not None:
            self._labelled = label_sets.count_labelled()
            for name, units_ND in units.items():
                for score, values_N in score_label_sets(units_ND, targets_ND, label_sets).items():
                    by_score.setdefault(score, {})[name] = values_N
        by_score |= score_transfer(units, self._set, self._bench.target) if has_targets else {}
        for score, values in by_score.items():
            self._add_means(None, score, values)

    def add_judge(
        self,
        judge: str,
        findings: Mapping[str, JudgeFindings],
        real: JudgeFindings,
        classes: Sequence[str],
        crossed_ND: np.ndarray | None = None,
    ) -> None:
        """Add the scores by one judge.

        Args:
            judge: its name.
            findings: way -> what it read off its files.
            real: what it read off the true media.
            classes: of its logits.
            crossed_ND: vectors of the sources, translated into the judge's space; None if nothing leads
                there.
        """
        medium = self._bench.medium
        by_score: dict[str, dict[str, np.ndarray]] = {}
        for way, found in findings.items():
            for score, values_N in score_files(found, real, self._rows, classes, medium, crossed_ND).items():
                by_score.setdefault(score, {})[way] = values_N
        for score, values in by_score.items():
            self._add_means(judge, score, values)
        for way, found in findings.items():
            for score, result in score_set(found, real, self._rows.groups_N, medium, self._seed).items():
                self._add_set(judge, way, score, result)

    def _add_means(self, judge: str | None, score: str, values: Mapping[str, np.ndarray]) -> None:
        groups_N = self._rows.groups_N
        for way, values_N in values.items():
            differences = {
                other: _convert(bootstrap.difference(values_N, values[other], groups_N, self._seed))
                for other in _BESIDE
                if other in values and other != way
            }
            estimate = bootstrap.mean(values_N, groups_N, self._seed)
            gallery = self._gallery if score in _GALLERY_SCORES else None
            if score.startswith(_LABEL_SCORES):
                gallery = self._labelled
            self._add(judge, way, score, estimate, gallery=gallery, differences=differences)

    def _add_set(self, judge: str, way: str, score: str, result: SetScore) -> None:
        floor = None if result.floor is None else _convert(result.floor)
        self._add(judge, way, score, result.estimate, floor=floor, too_few=result.too_few)

    def _add(  # noqa: PLR0913
        self,
        judge: str | None,
        way: str,
        score: str,
        estimate: Estimate,
        *,
        gallery: int | None = None,
        floor: ScoreInterval | None = None,
        too_few: bool | None = None,
        differences: Mapping[str, ScoreInterval] | None = None,
    ) -> None:
        crossed = self._ways[way]
        interval = _convert(estimate)
        self._table.append(
            EvaluationRow(
                direction=self._bench.direction,
                way=way,
                judge=judge,
                score=score,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                n=interval.n,
                output=_VECTOR if judge is None else crossed.planned.output,
                independent=None if judge is None else crossed.independent[judge],
                groups=estimate.groups,
                combinations=self._rows.count_combinations(),
                gallery=gallery,
                too_few=too_few,
                floor=floor,
                differences=dict(differences or {}),
            )
        )


def _convert(estimate: Estimate) -> ScoreInterval:
    """Return an estimate as JSON has it, which knows no NaN."""
    value, low, high = (
        float(each) if np.isfinite(each) else None for each in (estimate.value, estimate.low, estimate.high)
    )
    return ScoreInterval(value=value, low=low, high=high, n=estimate.n)
