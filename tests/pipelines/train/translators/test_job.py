"""A job scores its nets on pairs that were held out, and saves them with their cards."""

from collections import Counter

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.models.registry import build_net
from pipelines.store.root import Root
from pipelines.train.translators.baselines import Moments, solve
from pipelines.train.translators.job import TrainingJob
from pipelines.train.translators.pairs import TEST, TRAIN, VALIDATION, PairTable
from pipelines.translate.translator import read_card
from schemas.training import Experiment, TrainingPreset
from schemas.version import Version
from tests.pipelines.train.spaces import space

DIMS = (6, 5)


@pytest.fixture
def job(tmp_path):
    """A preset of two data sets over version 1 of a root."""
    root = Root.from_url(str(tmp_path))
    none = dict.fromkeys(("shards", "rows_read", "rejects", "duplicates", "candidates"), 0)
    version = Version(
        number=1, name="toy", set="main", created="", **none, outcomes={}, reasons={}, vectors={},
        tables=[], indices=[],
    )  # fmt: skip
    root.write("versions/0001.json", version.model_dump_json().encode())
    preset = {
        "name": "toy",
        "data": {name: [{"from": "clip_image", "to": "clap_text"}] for name in ("one", "other")},
        "cells": [{"data": ["one", "other"], "hidden": 8}, {"data": "one", "hidden": 16}],
    }
    return TrainingJob(root, "world", 1000, 1, TrainingPreset.model_validate(preset), "one")


def make_table(test):
    """Pairs of a linear map: 60 to train on, 20 to validate on, and some for the test."""
    rng = np.random.default_rng(0)
    count = 80 + test
    source = rng.standard_normal((count, DIMS[0]))
    target = source @ rng.standard_normal(DIMS)
    part = np.repeat([TRAIN, VALIDATION, TEST], [60, 20, test]).astype(np.uint8)
    halves = [
        (side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float16) for side in (source, target)
    ]
    labels = np.arange(count, dtype=np.uint64)
    licences, dropped = Counter({"unknown": count}), Counter({"null": 3, "leaked": 0})
    return PairTable(space("clip", DIMS[0]), space("clap", DIMS[1]), *halves, part, labels, licences, dropped)


def test_a_job_has_the_experiments_of_its_data(job):
    """In the order of the preset."""
    assert [("one", 8), ("one", 16)] == [(each.data, each.hidden) for each in job.experiments]
    assert all(isinstance(each, Experiment) for each in job.experiments)


def test_nets_are_saved_with_their_scores(job):
    """A card says how its net was trained and how well it does; of a baseline it says the method alone."""
    table, experiment = make_table(20), job.experiments[0]
    ridge = solve("ridge", table, Moments(table))
    nets = [
        (experiment, experiment.name, build_net(experiment, DIMS).eval(), 2, 0.25),
        (None, "one-ridge", ridge, 0, 0.99),
    ]

    trained, baseline = job.finish(table, iter(nets), 1.5, {experiment.name: [0.123456, 0.25]})

    assert [trained, baseline] == [read_card(job.root, card.name) for card in (trained, baseline)]
    assert (experiment, "mlp", 2, (0.1235, 0.25)) == (
        trained.cell,
        trained.method,
        trained.epoch,
        trained.curve,
    )
    assert (None, None, "ridge", ()) == (baseline.cell, baseline.fit, baseline.method, baseline.curve)
    assert (60, 20, 20, {"null": 3}) == tuple(trained.counts.model_dump().values())
    assert 20 == trained.scores.pairs
    assert baseline.scores.cosine > 0.95 > trained.scores.cosine


def test_scores_need_held_out_pairs(job):
    """Without any, the sentence names the setting to change."""
    with pytest.raises(ConfigError, match=r"no pair of 'one' is held out for scores .* larger split\.test"):
        job.finish(make_table(0), iter([]), 0.0, {})
