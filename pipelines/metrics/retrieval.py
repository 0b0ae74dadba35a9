"""Retrieval scores of a translator on held-out pairs; no generator is needed.

Pairs of one group, such as the captions of one picture, are one observation: each target of the own group is
right, and intervals are bootstrapped over groups.

Shapes: N held-out pairs, O dimensions, G targets in a gallery, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.metrics.ranking import average_precision, rank_first
from schemas.translator_card import RetrievalScores

GALLERY = 1000
_NEAREST = 10
_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class LabelPrototypes:
    """What a class of targets looks like, learned from pairs that are not scored.

    Attributes:
        labels_N: label of each held-out pair, as integers; 0 where it has none.
        labels_C: the labels that have a prototype, ascending.
        vectors_CO: their prototypes, unit vectors: means of training targets, or vectors of label texts.
    """

    labels_N: np.ndarray
    labels_C: np.ndarray
    vectors_CO: np.ndarray


@dataclass(frozen=True, eq=False)
class _Retrieved:
    """What each query found: the rank of its best right target from 0, and its average precision at ten."""

    ranks_N: np.ndarray
    precisions_N: np.ndarray
    # Whether another group in the gallery has the query's label, and whether the nearest other group has.
    has_other_N: np.ndarray
    is_label_found_N: np.ndarray
    hubness: float


def score(
    translated_NO: np.ndarray,
    targets_NO: np.ndarray,
    groups_N: np.ndarray | None = None,
    classes: LabelPrototypes | None = None,
    seed: int = 0,
) -> RetrievalScores:
    """Return the scores of translated vectors against their targets.

    Every translated vector is a query among the `GALLERY` targets of one gallery. Groups are assigned to
    galleries at random, and a last, smaller gallery is filled up with targets of others.

    Args:
        translated_NO: unit vectors, float32.
        targets_NO: unit vectors, float32.
        groups_N: group of each pair, as integers; every pair is one of its own if None.
        classes: of pairs whose lists have labels; no class scores if None.
        seed: of the galleries and of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    groups_N = np.arange(len(targets_NO)) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
    labels_N = np.zeros(len(targets_NO), np.uint64) if classes is None else classes.labels_N
    found = _search_galleries(translated_NO, targets_NO, groups_N, labels_N, rng)
    cosines_N = (translated_NO * targets_NO).sum(1)
    firsts_N = (found.ranks_N == 0).astype(np.float64)
    class_accuracy = _class_accuracy(translated_NO, classes) if classes else None
    back_N = _search_galleries(
        targets_NO, translated_NO, groups_N, labels_N, np.random.default_rng(seed)
    ).ranks_N
    return RetrievalScores(
        pairs=len(translated_NO),
        groups=int(groups_N.max()) + 1,
        gallery=min(GALLERY, len(translated_NO)),
        cosine=float(cosines_N.mean()),
        cosine_interval=_interval(cosines_N, groups_N, rng),
        r1=float(firsts_N.mean()),
        r1_interval=_interval(firsts_N, groups_N, rng),
        r5=float((found.ranks_N < 5).mean()),
        r10=float((found.ranks_N < 10).mean()),
        back_r1=float((back_N == 0).mean()),
        back_r5=float((back_N < 5).mean()),
        back_r10=float((back_N < 10).mean()),
        map10=float(found.precisions_N.mean()),
        class_r1=float(found.is_label_found_N[found.has_other_N].mean()) if found.has_other_N.any() else None,
        class_accuracy=class_accuracy,
        classes=len(classes.labels_C) if classes is not None and class_accuracy is not None else None,
        hubness=found.hubness,
        gap=float(np.linalg.norm(translated_NO.mean(0) - targets_NO.mean(0))),
        effective_rank=effective_rank(translated_NO),
    )


def _search_galleries(
    translated_NO: np.ndarray,
    targets_NO: np.ndarray,
    groups_N: np.ndarray,
    labels_N: np.ndarray,
    rng: np.random.Generator,
) -> _Retrieved:
    count = len(translated_NO)
    size = min(GALLERY, count)
    # The members of a group stand together, so that nearly all of them are in the query's gallery.
    order = np.argsort(rng.permutation(int(groups_N.max()) + 1)[groups_N], kind="stable")
    ranks_N, precisions_N = np.empty(count, dtype=np.int64), np.empty(count)
    has_other_N, is_label_found_N = np.zeros((2, count), dtype=bool)
    occurrences: list[np.ndarray] = []
    for start in range(0, count, size):
        queries = order[start : start + size]
        gallery = queries if len(queries) == size else np.concatenate([queries, order[: size - len(queries)]])
        cosines = translated_NO[queries] @ targets_NO[gallery].T
        is_right = groups_N[queries][:, None] == groups_N[gallery]
        ranks_N[queries] = rank_first(cosines, is_right)
        precisions_N[queries] = average_precision(cosines, is_right, _NEAREST)
        is_labelled = (labels_N[queries][:, None] == labels_N[gallery]) & (labels_N[queries] != 0)[:, None]
        has_other_N[queries] = (is_labelled & ~is_right).any(1)
        nearest_other = np.where(is_right, -np.inf, cosines).argmax(1)
        is_label_found_N[queries] = is_labelled[np.arange(len(queries)), nearest_other]
        if len(queries) == size:
            nearest = np.argpartition(-cosines, min(_NEAREST, size - 1), axis=1)[:, :_NEAREST]
            occurrences.append(np.bincount(nearest.ravel(), minlength=size))
    hubness = _skewness(np.concatenate(occurrences))
    return _Retrieved(ranks_N, precisions_N, has_other_N, is_label_found_N, hubness)


def _class_accuracy(translated_NO: np.ndarray, classes: LabelPrototypes) -> float | None:
    """Return the share of labelled pairs that are nearest to their label's prototype; None if none is."""
    places_N = np.searchsorted(classes.labels_C, classes.labels_N).clip(max=len(classes.labels_C) - 1)
    is_known_N = (
        (classes.labels_C[places_N] == classes.labels_N) & (classes.labels_N != 0)
        if len(classes.labels_C)
        else np.zeros(len(translated_NO), dtype=bool)
    )
    if not is_known_N.any():
        return None
    nearest = (translated_NO[is_known_N] @ classes.vectors_CO.T).argmax(1)
    return float((nearest == places_N[is_known_N]).mean())


def effective_rank(vectors_NO: np.ndarray) -> float:
    """Return exp of the entropy of the normalised spectrum of centred vectors (Roy and Vetterli 2007)."""
    centred = vectors_NO - vectors_NO.mean(0)
    values = np.linalg.eigvalsh((centred.T @ centred).astype(np.float64)).clip(0)
    if values.sum() == 0:
        return 1.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def mean_over_groups(values_N: np.ndarray, groups_N: np.ndarray) -> float:
    """Return the mean of the groups' means: a picture with many captions counts once."""
    _, places_N, counts = np.unique(groups_N, return_inverse=True, return_counts=True)
    return float((np.bincount(places_N, values_N) / counts).mean())


def _skewness(values: np.ndarray) -> float:
    spread = values.std()
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread else 0.0


def _interval(values_N: np.ndarray, groups_N: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of a mean, bootstrapped over groups."""
    sums, counts = np.bincount(groups_N, values_N), np.bincount(groups_N)
    draws = (rng.integers(0, len(sums), len(sums)) for _ in range(_RESAMPLES))
    means = [sums[drawn].sum() / counts[drawn].sum() for drawn in draws]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
