"""Scores of class probabilities: the divergence of pairs, and the inception score.

Shapes: N items, C classes.
"""

from __future__ import annotations

import numpy as np

# As in audioldm_eval: keeps the logarithm of a probability of zero finite.
_EPSILON = 1e-6
# Items a class and split below which a split cannot hold every class: ten splits of 240 sounds of 24 kinds
# end at 13.3 where all are right, one at 24.
_ITEMS_A_CLASS = 10
_MOST_SPLITS = 10


def softmax(logits_NC: np.ndarray) -> np.ndarray:
    """Return probabilities that sum to 1 in every row."""
    powers = np.exp(logits_NC.astype(np.float64) - logits_NC.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def sigmoid(logits_NC: np.ndarray) -> np.ndarray:
    """Return probabilities of independent classes."""
    return np.asarray(1 / (1 + np.exp(-logits_NC.astype(np.float64))))


def kl_of_pairs(real_NC: np.ndarray, generated_NC: np.ndarray) -> np.ndarray:
    """Return the sum over classes of p log(p / q) of every pair [N], real p and generated q, in nats.

    For probabilities that sum to 1 it is KL(real || generated). For independent classes it is the
    "sigmoid" number of audioldm_eval, which ignores absent classes and so can be negative.
    """
    ratio = np.log(real_NC + _EPSILON) - np.log(generated_NC + _EPSILON)
    return np.asarray((real_NC * ratio).sum(1))


def kl(real_NC: np.ndarray, generated_NC: np.ndarray) -> float:
    """Return the mean of `kl_of_pairs`."""
    return float(kl_of_pairs(real_NC, generated_NC).mean())


def inception_score(probabilities_NC: np.ndarray, splits: int = 1, seed: int = 0) -> float:
    """Return exp of the mean KL(p(y|x) || p(y)), from 1 (all alike) to C, averaged over equal splits.

    Args:
        probabilities_NC: that sum to 1 in every row.
        splits: of shuffled rows: in the order of their classes, splits would see one class each.
        seed: of the order.
    """
    order = np.random.default_rng(seed).permutation(len(probabilities_NC))
    scores = []
    for part in np.array_split(probabilities_NC[order], splits):
        ratio = np.log(part + _EPSILON) - np.log(part.mean(0, keepdims=True) + _EPSILON)
        scores.append(np.exp((part * ratio).sum(1).mean()))
    return float(np.mean(scores))


def count_splits(rows: int, classes: int) -> int:
    """Return the splits of an inception score: one where items are few, ten where there are enough.

    Args:
        rows: items.
        classes: of the classifier.
    """
    return int(np.clip(rows // (_ITEMS_A_CLASS * max(classes, 1)), 1, _MOST_SPLITS))
