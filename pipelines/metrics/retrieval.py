"""What held-out pairs say of a translator, without a generator.

Shapes: N held-out pairs, O dimensions, G targets in a gallery.
"""

from __future__ import annotations

import numpy as np

from schemas.translator_card import RetrievalScores

GALLERY = 1000
_NEAREST = 10
_RESAMPLED = 1000


def score(made_NO: np.ndarray, wanted_NO: np.ndarray, labels_N: np.ndarray, seed: int = 0) -> RetrievalScores:
    """Return the scores of translated vectors against the vectors they should have become.

    Every translated vector looks for its own target among `GALLERY` targets of one gallery; pairs are
    dealt into galleries at random, and a last, smaller one is filled up with targets of others.

    Args:
        made_NO: translated, unit vectors, float32.
        wanted_NO: targets, unit vectors, float32.
        labels_N: what each pair shows or sounds like, as numbers; pairs of one number are alike.
        seed: of the galleries and of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    cosines_N = (made_NO * wanted_NO).sum(1)
    ranks_N, alike_N, hubness = _ranked(made_NO, wanted_NO, labels_N, rng)
    firsts_N = (ranks_N == 0).astype(np.float64)
    labelled = len(np.unique(labels_N)) < len(labels_N)
    return RetrievalScores(
        pairs=len(made_NO),
        gallery=min(GALLERY, len(made_NO)),
        cosine=float(cosines_N.mean()),
        cosine_interval=_interval(cosines_N, rng),
        r1=float(firsts_N.mean()),
        r1_interval=_interval(firsts_N, rng),
        r5=float((ranks_N < 5).mean()),
        r10=float((ranks_N < 10).mean()),
        map10=float(np.where(ranks_N < _NEAREST, 1 / (ranks_N + 1), 0).mean()),
        class_r1=float(alike_N.mean()) if labelled else None,
        class_accuracy=_class_accuracy(made_NO, wanted_NO, labels_N) if labelled else None,
        hubness=hubness,
        gap=float(np.linalg.norm(made_NO.mean(0) - wanted_NO.mean(0))),
        effective_rank=effective_rank(made_NO),
    )


def _ranked(
    made_NO: np.ndarray, wanted_NO: np.ndarray, labels_N: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the rank of each own target, whether the nearest target has its label, and the hubness."""
    count = len(made_NO)
    size = min(GALLERY, count)
    order = rng.permutation(count)
    ranks_N, alike_N = np.empty(count, dtype=np.int64), np.empty(count, dtype=bool)
    occurrences: list[np.ndarray] = []
    for start in range(0, count, size):
        asked = order[start : start + size]
        gallery = asked if len(asked) == size else np.concatenate([asked, order[: size - len(asked)]])
        cosines = made_NO[asked] @ wanted_NO[gallery].T
        own = cosines[np.arange(len(asked)), np.arange(len(asked))]
        # Of targets that are just as near the own comes last: equal captions are no merit.
        ranks_N[asked] = (cosines >= own[:, None]).sum(1) - 1
        alike_N[asked] = labels_N[gallery[cosines.argmax(1)]] == labels_N[asked]
        if len(asked) == size:
            nearest = np.argpartition(-cosines, min(_NEAREST, size - 1), axis=1)[:, :_NEAREST]
            occurrences.append(np.bincount(nearest.ravel(), minlength=size))
    return ranks_N, alike_N, _skewness(np.concatenate(occurrences))


def _class_accuracy(made_NO: np.ndarray, wanted_NO: np.ndarray, labels_N: np.ndarray) -> float:
    _, classes_N = np.unique(labels_N, return_inverse=True)
    sums = np.zeros((classes_N.max() + 1, wanted_NO.shape[1]))
    np.add.at(sums, classes_N, wanted_NO)
    means = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)
    return float(((made_NO @ means.T).argmax(1) == classes_N).mean())


def effective_rank(vectors_NO: np.ndarray) -> float:
    """Return exp of the entropy of the spectrum's shares (Roy and Vetterli 2007), of centred vectors."""
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
    means = [values_N[rng.integers(0, len(values_N), len(values_N))].mean() for _ in range(_RESAMPLED)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
