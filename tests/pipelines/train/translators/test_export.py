"""Translators are scored on pairs that were held out, and written with their cards."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.models.registry import build_net
from pipelines.store.root import Root
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.dataset import TrainingDataset
from pipelines.train.task import MemberResult
from pipelines.train.translators.baselines import BASELINES
from pipelines.train.translators.export import TranslatorExport
from pipelines.train.translators.pairs import PairTable
from pipelines.train.translators.training_pairs import TrainingPairs
from schemas.training import Experiment, TrainingPreset
from schemas.version import Version
from tests.pipelines.train.spaces import space

DIMS = (6, 5)


@pytest.fixture
def pairs(tmp_path):
    """A preset of two data sets over version 1 of a root."""
    root = Root.from_url(str(tmp_path))
    none = dict.fromkeys(("shards", "rows_read", "rejects", "duplicates", "candidates"), 0)
    version = Version(
        number=1, name="toy", set="main",
        created="2026-01-01T00:00:00+00:00", **none, outcomes={}, reasons={}, vectors={},
        tables=[], indices=[],
    )  # fmt: skip
    root.write("versions/0001.json", version.model_dump_json().encode())
    preset = {
        "name": "toy",
        "data": {name: [{"from": "clip_image", "to": "clap_text"}] for name in ("one", "other")},
        "cells": [{"data": ["one", "other"], "hidden": 8}, {"data": "one", "hidden": 16}],
    }
    source = TrainingDataset(root, "world", 1000, 1)
    return TrainingPairs(source, TrainingPreset.model_validate(preset), "one")


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


def test_pairs_have_the_experiments_of_their_data(pairs):
    """In the order of the preset."""
    assert [("one", 8), ("one", 16)] == [(each.data, each.hidden) for each in pairs.experiments]
    assert all(isinstance(each, Experiment) for each in pairs.experiments)


def test_nets_are_written_with_their_scores(pairs, tmp_path):
    """A card says how its net was trained and how well it does; of a baseline it says the method alone."""
    table, experiment = make_table(20), pairs.experiments[0]
    export = TranslatorExport(pairs, table, tmp_path, 1.5)
    result = MemberResult(epoch=2, score=0.25, scores={"cosine": 0.25}, curve=[0.123456, 0.25])

    trained = export.write_experiment(experiment, build_net(experiment, DIMS).state_dict(), result)
    baselines = {card.name: card for card in export.write_baselines()}
    baseline = baselines["one-ridge"]

    for card in (trained, baseline):
        data = (tmp_path / card.name / "weights.safetensors").read_bytes()
        assert card.weights_sha256 == hashlib.sha256(data).hexdigest()
    assert (experiment, "mlp", 2, (0.1235, 0.25)) == (
        trained.cell,
        trained.method,
        trained.epoch,
        trained.curve,
    )
    assert {f"one-{name}" for name in BASELINES} == baselines.keys()
    assert (None, None, "ridge", ()) == (baseline.cell, baseline.fit, baseline.method, baseline.curve)
    assert (60, 20, 20, {"null": 3}) == tuple(trained.counts.model_dump().values())
    assert 20 == trained.scores.pairs
    assert baseline.scores.cosine > 0.95 > trained.scores.cosine


def test_each_kind_of_pairs_is_scored_alone(pairs, tmp_path):
    """Of a mix of a kind that is easy and one that cannot be learned, neither hides behind the other."""
    table = make_table(40)
    table.directions = ("clip_image -> clap_text", "clip_text -> clap_text")
    table.direction_N = (np.arange(120) % 4 == 0).astype(np.uint8)
    rng = np.random.default_rng(1)
    lost = rng.standard_normal((30, DIMS[1]))
    table.target_NO[::4] = lost / np.linalg.norm(lost, axis=1, keepdims=True)
    cards = TranslatorExport(pairs, table, tmp_path, 0.0).write_baselines()
    ridge = next(card for card in cards if card.method == "ridge")
    easy, hard = (ridge.scores_of[direction] for direction in table.directions)

    assert (30, 10) == (easy.pairs, hard.pairs)
    assert easy.cosine > ridge.scores.cosine > hard.cosine
    assert [15, 5] == [ridge.validation[direction].pairs for direction in table.directions]
    assert ridge.validation[table.directions[0]].cosine > ridge.validation[table.directions[1]].cosine


def test_classes_are_learned_from_training_pairs(pairs, tmp_path):
    """Targets without classes score as chance by their label, of which each test pair has two."""
    table = make_table(40)
    table.labels_N = np.arange(120, dtype=np.uint64) // 2 % 20 + 1
    ridge = next(
        card
        for card in TranslatorExport(pairs, table, tmp_path, 0.0).write_baselines()
        if card.method == "ridge"
    )

    assert 20 == ridge.scores.classes
    assert ridge.scores.class_accuracy < 0.3
    assert ridge.scores.cosine > 0.95


def test_scores_need_held_out_pairs(pairs, tmp_path):
    """Without any, the sentence names the setting to change."""
    with pytest.raises(ConfigError, match=r"no pair of 'one' is held out for scores .* larger split\.test"):
        TranslatorExport(pairs, make_table(0), tmp_path, 0.0).write_baselines()
