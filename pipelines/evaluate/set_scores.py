"""Scores of a whole set of files against the true ones, by the vectors and logits of a judge.

Shapes: N files of a way and as many true ones, D dimensions, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.evaluate.judging import JudgeFindings
from pipelines.metrics import bootstrap
from pipelines.metrics.bootstrap import Estimate
from pipelines.metrics.coverage import NEAREST, density_and_coverage
from pipelines.metrics.frechet import frechet, frechet_infinity, is_too_few
from pipelines.metrics.kernel_distance import kad, kid
from pipelines.metrics.probabilities import count_splits, inception_score, softmax
from schemas.media import Medium

Distance = Callable[[np.ndarray, np.ndarray], float]
# A limit of many distances, each of which takes as long as the plain one.
_LIMIT_RESAMPLES = 40
# Multiplications of a distance above which it is resampled less often: some tenths of a second.
_SLOW = 1e9
_SLOW_RESAMPLES = 40


@dataclass(frozen=True)
class SetScore:
    """A score of a set.

    Attributes:
        estimate: with its interval.
        floor: of real halves against each other; None of what is no distance.
        too_few: of a Fréchet distance, whether the size of the sets decides it; None of others.
    """

    estimate: Estimate
    floor: Estimate | None = None
    too_few: bool | None = None


def score_set(
    found: JudgeFindings, real: JudgeFindings, groups_N: np.ndarray, medium: Medium, seed: int
) -> dict[str, SetScore]:
    """Return the scores of a way's files; those of the true media themselves are the floors.

    Args:
        found: of the way; `real` itself for the true media.
        real: of the true media.
        groups_N: of the rows.
        medium: of the files.
        seed: of the resamples.
    """
    scores: dict[str, SetScore] = {}
    if found.vectors_ND is not None and real.vectors_ND is not None:
        there_N, true_N = _find_known(found.vectors_ND), _find_known(real.vectors_ND)
        pair = _Pair(found.vectors_ND[there_N], real.vectors_ND[true_N], groups_N[there_N], groups_N[true_N])
        if min(len(pair.made_ND), len(pair.true_ND)) > 2 * NEAREST:
            scores |= _score_distances(pair, medium, seed, is_real=found is real)
    logits_NC = found.get_widest()
    if logits_NC is not None and len(there := _find_known(logits_NC)) > 1:
        scores["is"] = _score_inception(logits_NC[there], groups_N[there], seed)
    return scores


@dataclass(frozen=True, eq=False)
class _Pair:
    made_ND: np.ndarray
    true_ND: np.ndarray
    made_groups_N: np.ndarray
    true_groups_N: np.ndarray

    def estimate(
        self, distance: Distance, seed: int, resamples: int, least: float, most: float = np.inf
    ) -> Estimate:
        return bootstrap.statistic(
            lambda made, true: distance(self.made_ND[made], self.true_ND[true]),
            [self.made_groups_N, self.true_groups_N],
            seed,
            resamples=resamples,
            least=least,
            most=most,
        )

    def find_floor(self, distance: Distance, seed: int) -> Estimate:
        return bootstrap.halves(
            lambda one, other: distance(self.true_ND[one], self.true_ND[other]), self.true_groups_N, seed
        )


def _score_distances(pair: _Pair, medium: Medium, seed: int, *, is_real: bool) -> dict[str, SetScore]:
    rows, dims = pair.made_ND.shape
    is_slow = rows * dims * min(rows, dims) > _SLOW
    kernel = ("kid", kid) if medium == "picture" else ("kad", kad)
    distances: dict[str, tuple[Distance, float]] = {
        "fd": (frechet, 0.0),
        "fd_infinity": (frechet_infinity, -np.inf),
        kernel[0]: (kernel[1], -np.inf),
    }
    scores: dict[str, SetScore] = {}
    for name, (distance, least) in distances.items():
        resamples = _LIMIT_RESAMPLES if is_slow or name == "fd_infinity" else 4 * _SLOW_RESAMPLES
        floor = pair.find_floor(distance, seed)
        few = is_too_few(min(rows, len(pair.true_ND)), dims) if name.startswith("fd") else None
        value = floor if is_real else pair.estimate(distance, seed, resamples, least)
        scores[name] = SetScore(value, floor, few)
    return scores | _score_coverage(pair, seed, is_real=is_real)


def _score_coverage(pair: _Pair, seed: int, *, is_real: bool) -> dict[str, SetScore]:
    """Return density and coverage, where every resample has enough true files to have neighbours."""
    scores: dict[str, SetScore] = {}
    sizes_G = np.sort(np.unique(pair.true_groups_N, return_counts=True)[1])
    least_drawn, least_half = sizes_G[0] * len(sizes_G), sizes_G[: len(sizes_G) // 2].sum()
    # Coverage is a share.
    for number, (name, most) in enumerate((("density", np.inf), ("coverage", 1.0))):

        def compute(made_ND: np.ndarray, true_ND: np.ndarray, number: int = number) -> float:
            return density_and_coverage(made_ND, true_ND)[number]

        has_floor = len(pair.true_ND) > 4 * NEAREST and least_half > NEAREST
        lowest = pair.find_floor(compute, seed) if has_floor else None
        if is_real and lowest is not None:
            scores[name] = SetScore(lowest, lowest)
        elif not is_real and least_drawn > NEAREST:
            scores[name] = SetScore(pair.estimate(compute, seed, _SLOW_RESAMPLES, 0.0, most), lowest)
    return scores


def _score_inception(logits_NC: np.ndarray, groups_N: np.ndarray, seed: int) -> SetScore:
    probabilities_NC = softmax(logits_NC)
    splits = count_splits(*logits_NC.shape)
    estimate = bootstrap.statistic(
        lambda rows: inception_score(probabilities_NC[rows], splits), [groups_N], seed, least=1.0
    )
    return SetScore(estimate)


def _find_known(rows_NX: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isfinite(rows_NX).all(1))
