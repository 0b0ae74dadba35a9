"""Scores of vectors: how near a way comes to the true item, without anything being made. No judge looks.

Shapes: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.evaluate.evaluation_set import EvaluationSet, LabelSets
from pipelines.metrics.alignment import cosine_of_pairs
from pipelines.metrics.discriminant import fit_discriminant, read_values
from pipelines.metrics.ranking import average_precision, rank_first
from pipelines.metrics.shared_labels import average_precision_of_all, encode_labels, share_label
from schemas.families import Column

_ROWS_AT_ONCE = 1024


def score_pairs(units_ND: np.ndarray, targets_ND: np.ndarray, groups_N: np.ndarray) -> dict[str, np.ndarray]:
    """Return scores of vectors against those of the true items, each as a value a row.

    Args:
        units_ND: of a way.
        targets_ND: of the true items, in all of which each row looks for its own.
        groups_N: every item of a row's group is right. A row without an item has no score.
    """
    known = np.flatnonzero(np.isfinite(targets_ND).all(1))
    ranks_N, precision_N = np.full((2, len(units_ND)), np.nan)
    for start in range(0, len(known), _ROWS_AT_ONCE):
        rows = known[start : start + _ROWS_AT_ONCE]
        cosines_QG = units_ND[rows] @ targets_ND[known].T
        right_QG = groups_N[rows][:, None] == groups_N[known][None]
        ranks_N[rows] = rank_first(cosines_QG, right_QG)
        precision_N[rows] = average_precision(cosines_QG, right_QG)
    return {
        "pair_cosine": cosine_of_pairs(units_ND, targets_ND),
        **{f"r{depth}": np.where(np.isnan(ranks_N), np.nan, ranks_N < depth) for depth in (1, 5, 10)},
        "map10": precision_N,
    }


def score_label_sets(
    units_ND: np.ndarray, targets_ND: np.ndarray, label_sets: LabelSets
) -> dict[str, np.ndarray]:
    """Return scores where every item that shares a label with a row is right, each as a value a row.

    Rows without labels are neither scored nor looked for. Those whose film is one still picture are looked
    for, and scored apart.

    Args:
        units_ND: of a way.
        targets_ND: of the true items.
        label_sets: of the rows.
    """
    known = np.flatnonzero(
        np.isfinite(targets_ND).all(1) & np.array([bool(each) for each in label_sets.labels])
    )
    names = sorted({label for row in known.tolist() for label in label_sets.labels[row]})
    labels_NL = encode_labels([label_sets.labels[row] for row in known.tolist()], names)
    ranks_N, precision_N = np.full((2, len(units_ND)), np.nan)
    for start in range(0, len(known), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        cosines_QG = units_ND[known[part]] @ targets_ND[known].T
        right_QG = share_label(labels_NL[part], labels_NL)
        ranks_N[known[part]] = rank_first(cosines_QG, right_QG)
        precision_N[known[part]] = average_precision_of_all(cosines_QG, right_QG)
    values = {
        **{f"r{depth}_labels": np.where(np.isnan(ranks_N), np.nan, ranks_N < depth) for depth in (1, 5, 10)},
        "map_labels": precision_N,
    }
    found: dict[str, np.ndarray] = {}
    for ending, kept_N in (("", ~label_sets.still_N), ("_still", label_sets.still_N)):
        if np.isfinite(precision_N[kept_N]).any():
            found |= {f"{name}{ending}": np.where(kept_N, each, np.nan) for name, each in values.items()}
    return found


def score_transfer(
    units: Mapping[str, np.ndarray], rows: EvaluationSet, target: Column
) -> dict[str, dict[str, np.ndarray]]:
    """Return which attributes survive a crossing: attribute -> way -> 1 where it is read right [N].

    The probes are trained on real vectors of training rows in the space of the target. Nothing of a colour is
    heard, so from sounds and into them it must stay at chance.

    Args:
        units: way -> its vectors.
        rows: with the truth of both parts.
        target: the column that is crossed to.
    """
    truth, known = rows.get_rows("scored").truth, rows.get_rows("gallery").truth
    trained_KD = rows.get_vectors("gallery", target)
    usable_K = np.isfinite(trained_KD).all(1)
    found: dict[str, dict[str, np.ndarray]] = {}
    for name in truth:
        if name not in known or len(set(known[name][usable_K].tolist())) < 2:
            continue
        probe = fit_discriminant(trained_KD[usable_K], known[name][usable_K])
        found[name] = {
            way: (read_values(np.nan_to_num(units_ND), probe) == truth[name]).astype(np.float64)
            for way, units_ND in units.items()
        }
    return found
