"""Closed forms find the maps that they are the answer to."""

from collections import Counter

import numpy as np
import pytest
import torch

from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.translators.baselines import BASELINES, Moments, solve
from pipelines.train.translators.pairs import PairTable
from tests.pipelines.train.spaces import space


def table(make, dims=(24, 20), rows=3000):
    rng = np.random.default_rng(0)
    source = rng.standard_normal((rows, dims[0]))
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    target = make(source, rng)
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    return PairTable(
        space("a", dims[0]),
        space("b", dims[1]),
        source.astype(np.float16),
        target.astype(np.float16),
        part_N=np.array([TRAIN, TRAIN, TRAIN, VALIDATION, TEST] * (rows // 5), dtype=np.uint8),
        labels_N=np.arange(rows, dtype=np.int32),
        licences=Counter(),
        dropped=Counter(),
    )


def cosines(pairs):
    moments = Moments(pairs)
    source, target = (torch.from_numpy(side) for side in pairs.get_pairs(pairs.find_rows(TEST)))
    return {
        name: (solve(name, pairs, moments).translate(source)[0] * target).sum(-1).mean().item()
        for name in BASELINES
    }


def test_ridge_recovers_a_linear_map():
    """It is nearly right where the truth is linear; the mean and a random map are not."""
    found = cosines(table(lambda source, rng: source @ rng.standard_normal((24, 20)) + 0.01))

    assert found["ridge"] > 0.999
    assert max(found["mean"], abs(found["random"])) < 0.5


def test_procrustes_recovers_a_rotation_with_a_shift():
    """A rotated copy about another mean: the rotation is found, the identity is lost."""
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((20, 20)))[0]
    found = cosines(table(lambda source, _: source @ rotation + 0.1, dims=(20, 20)))

    assert found["procrustes"] > 0.99
    assert found["identity"] < 0.6


def test_procrustes_has_a_scale():
    """Targets that spread less about their mean than sources do: a rotation alone overshoots."""
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((20, 20)))[0]
    noise = 0.2

    def make(source, rng):
        return 0.3 * source @ rotation + noise * rng.standard_normal(source.shape) + 0.5

    pairs = table(make, dims=(20, 20))
    moments = Moments(pairs)
    source, target = (torch.from_numpy(side) for side in pairs.get_pairs(pairs.find_rows(TEST)))
    net = solve("procrustes", pairs, moments)
    x, y = moments.means
    unscaled = torch.from_numpy((source.numpy() - x) @ rotation + y)
    found = (net.translate(source)[0] * target).sum(-1).mean().item()

    assert found > torch.nn.functional.cosine_similarity(unscaled, target).mean().item() + 0.02


def test_mean_shift_closes_a_gap():
    """The same vectors about another mean: moving them is nearly all there is to do."""
    found = cosines(table(lambda source, _: source + 0.3, dims=(20, 20)))

    assert found["mean_shift"] > 0.95 > found["identity"] + 0.1


def test_the_mean_is_the_best_that_knows_nothing():
    """Where target and source have nothing to do with each other no map beats the mean target."""
    found = cosines(table(lambda source, rng: rng.standard_normal((len(source), 20)) + 0.5))

    assert found["mean"] == pytest.approx(max(found.values()), abs=0.01)
