"""Scores that a judge gives the files of a way, each as a value a row.

Shapes: N rows, D dimensions, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.evaluate.evaluation_set import SetRows
from pipelines.evaluate.judging import JudgeFindings
from pipelines.metrics.alignment import cosine_of_pairs, rank_form, z_form
from pipelines.metrics.probabilities import kl_of_pairs, softmax
from schemas.media import Medium

# Mean cosine of caption and file: CLAP score and CLIP score.
_TEXT_SCORES = {"sound": "clap_score", "picture": "clip_score"}


def score_files(  # noqa: PLR0913, PLR0917
    found: JudgeFindings,
    real: JudgeFindings,
    rows: SetRows,
    classes: Sequence[str],
    medium: Medium,
    crossed_ND: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return all scores that a judge can give, by name.

    A file that could not be made is wrong in every share, and has no other score.

    Args:
        found: of the way's files.
        real: of the true media.
        rows: that are scored.
        classes: of the logits.
        medium: of the files.
        crossed_ND: vectors of the sources, translated into the judge's space; None if nothing leads there.
    """
    scores = _score_attributes(found, rows)
    logits_NC = found.logits_NC
    if "kind" not in scores and logits_NC is not None and rows.labels is not None:
        own_N = np.array([classes.index(label) if label in classes else -1 for label in rows.labels])
        right_N = (np.nan_to_num(logits_NC, nan=-np.inf).argmax(1) == own_N).astype(np.float64)
        right_N[~np.isfinite(logits_NC).all(1)] = 0.0
        scores["kind"] = np.where(own_N >= 0, right_N, np.nan)
    made_NC, true_NC = found.get_widest(), real.get_widest()
    if made_NC is not None and true_NC is not None:
        scores["kl"] = _score_kl(made_NC, true_NC)
    if found.vectors_ND is not None:
        if real.vectors_ND is not None:
            scores |= _score_alignment("iis", found.vectors_ND, real.vectors_ND, rows.groups_N)
        if crossed_ND is not None and medium == "picture":
            scores |= _score_alignment("ais", found.vectors_ND, crossed_ND, rows.groups_N)
        if real.texts_ND is not None and medium in _TEXT_SCORES:
            scores[_TEXT_SCORES[medium]] = cosine_of_pairs(found.vectors_ND, real.texts_ND)
    return scores


def _score_attributes(found: JudgeFindings, rows: SetRows) -> dict[str, np.ndarray]:
    return {
        name: (values == rows.truth[name]).astype(np.float64)
        for name, values in found.attributes.items()
        if name in rows.truth
    }


def _score_kl(logits_NC: np.ndarray, real_NC: np.ndarray) -> np.ndarray:
    there_N = np.isfinite(logits_NC).all(1) & np.isfinite(real_NC).all(1)
    values_N = np.full(len(there_N), np.nan)
    values_N[there_N] = kl_of_pairs(softmax(real_NC[there_N]), softmax(logits_NC[there_N]))
    return values_N


def _score_alignment(
    name: str, vectors_ND: np.ndarray, paired_ND: np.ndarray, groups_N: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how near a file is to the true one (iis) or to its source (ais), in three forms."""
    units_ND, paired_ND = _normalize(vectors_ND), _normalize(paired_ND)
    known = np.isfinite(paired_ND).all(1)
    return {
        name: cosine_of_pairs(units_ND, paired_ND),
        f"{name}_rank": rank_form(units_ND, paired_ND, paired_ND[known], groups_N, groups_N[known]),
        f"{name}_z": z_form(units_ND, paired_ND, groups_N),
    }


def _normalize(vectors_ND: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            vectors_ND / np.linalg.norm(vectors_ND.astype(np.float64), axis=1, keepdims=True), np.float64
        )
