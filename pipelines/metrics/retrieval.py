"""Retrieval scores of a translator on held-out pairs; no generator is needed.

Shapes: N held-out pairs, O dimensions, G targets in a gallery.
"""

from __future__ import annotations

import numpy as np

from schemas.translator_card import RetrievalScores

GALLERY = 1000
_NEAREST = 10
_RESAMPLES = 1000


def score(
    translated_NO: np.ndarray, targets_NO: np.ndarray, labels_N: np.ndarray, seed: int = 0
) -> RetrievalScores:
    """Return the scores of translated vectors against their targets.

    Every translated vector is a query among the `GALLERY` targets of one gallery. Pairs are assigned to
    galleries at random, and a last, smaller gallery is filled up with targets of others.

    Args:
        translated_NO: unit vectors, float32.
        targets_NO: unit vectors, float32.
        labels_N: class of each pair, as integers.
        seed: of the galleries and of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    cosines_N = (translated_NO * targets_NO).sum(1)
    ranks_N, same_label_N, hubness = _rank_targets(translated_NO, targets_NO, labels_N, rng)
    firsts_N = (ranks_N == 0).astype(np.float64)
    labelled = len(np.unique(labels_N)) < len(labels_N)
    return RetrievalScores(
        pairs=len(translated_NO),
        gallery=min(GALLERY, len(translated_NO)),
        cosine=float(cosines_N.mean()),
        cosine_interval=_interval(cosines_N, rng),
        r1=float(firsts_N.mean()),
        r1_interval=_interval(firsts_N, rng),
        r5=float((ranks_N < 5).mean()),
        r10=float((ranks_N < 10).mean()),
        map10=float(np.where(ranks_N < _NEAREST, 1 / (ranks_N + 1), 0).mean()),
        class_r1=float(same_label_N.mean()) if labelled else None,
        class_accuracy=_class_accuracy(translated_NO, targets_NO, labels_N) if labelled else None,
        hubness=hubness,
        gap=float(np.linalg.norm(translated_NO.mean(0) - targets_NO.mean(0))),
        effective_rank=effective_rank(translated_NO),
    )


def _rank_targets(
    translated_NO: np.ndarray, targets_NO: np.ndarray, labels_N: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the rank of each own target, whether the nearest target has the same label, and the hubness."""
    count = len(translated_NO)
    size = min(GALLERY, count)
    order = rng.permutation(count)
    ranks_N, same_label_N = np.empty(count, dtype=np.int64), np.empty(count, dtype=bool)
    occurrences: list[np.ndarray] = []
    for start in range(0, count, size):
        queries = order[start : start + size]
        gallery = queries if len(queries) == size else np.concatenate([queries, order[: size - len(queries)]])
        cosines = translated_NO[queries] @ targets_NO[gallery].T
        own = cosines[np.arange(len(queries)), np.arange(len(queries))]
        # Among equally near targets the own one ranks last: duplicate captions earn nothing.
        ranks_N[queries] = (cosines >= own[:, None]).sum(1) - 1
        same_label_N[queries] = labels_N[gallery[cosines.argmax(1)]] == labels_N[queries]
        if len(queries) == size:
            nearest = np.argpartition(-cosines, min(_NEAREST, size - 1), axis=1)[:, :_NEAREST]
            occurrences.append(np.bincount(nearest.ravel(), minlength=size))
    return ranks_N, same_label_N, _skewness(np.concatenate(occurrences))


def _class_accuracy(translated_NO: np.ndarray, targets_NO: np.ndarray, labels_N: np.ndarray) -> float:
    _, classes_N = np.unique(labels_N, return_inverse=True)
    sums = np.zeros((classes_N.max() + 1, targets_NO.shape[1]))
    np.add.at(sums, classes_N, targets_NO)
    means = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)
    return float(((translated_NO @ means.T).argmax(1) == classes_N).mean())


def effective_rank(vectors_NO: np.ndarray) -> float:
    """Return exp of the entropy of the normalised spectrum of centred vectors (Roy and Vetterli 2007)."""
    centred = vectors_NO - vectors_NO.mean(0)
    values = np.linalg.eigvalsh((centred.T @ centred).astype(np.float64)).clip(0)
    if values.sum() == 0:
        return 1.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _skewness(values: np.ndarray) -> float:
    spread = values.std()
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread else 0.0


def _interval(values_N: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean."""
    means = [values_N[rng.integers(0, len(values_N), len(values_N))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
