"""Scores of files by one judge: a picture against the true one, and against the sound that it is of."""

import numpy as np
import pytest

from pipelines.evaluate.evaluation_set import SetRows
from pipelines.evaluate.judge_scores import score_files
from pipelines.evaluate.judging import JudgeFindings

UNITS = np.eye(4, dtype=np.float32)
ROWS = SetRows([str(row) for row in range(4)], np.arange(4), [""] * 4)


def score(made, crossed=None, medium="picture"):
    """Return the means of all scores of files whose vectors are given; those of true files are a basis."""
    found, real = (JudgeFindings(each, None, None, {}) for each in (made, UNITS))
    scores = score_files(found, real, ROWS, (), medium, crossed)
    return {name: float(values.mean()) for name, values in scores.items()}


def test_pictures_of_their_sounds_are_nearest_to_them():
    """AIS is measured against what the sounds become, IIS against the true pictures."""
    turned = np.roll(UNITS, 1, axis=0)
    scores = score(made=turned, crossed=turned)

    assert (1.0, 1.0, 0.0) == (scores["ais"], scores["ais_rank"], scores["iis"])
    assert scores["ais_z"] > 1
    assert scores["iis_z"] < 0
    assert scores["iis_rank"] == 0


@pytest.mark.parametrize(("crossed", "medium"), [(None, "picture"), (UNITS, "sound")])
def test_without_a_translator_or_a_picture_there_is_no_ais(crossed, medium):
    """Only pictures have one, and only where sounds come into the judge's space."""
    assert {"iis", "iis_rank", "iis_z"} == score(UNITS, crossed, medium).keys()
