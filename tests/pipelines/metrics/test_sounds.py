from dataclasses import dataclass

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.metrics.sounds import frechet, inception_score, kl, score, softmax

RNG = np.random.default_rng(7)


def gaussian(count, mean_D, deviations_D, seed=0):
    """Vectors whose mean and covariance are exactly these: drawn, whitened, stretched."""
    drawn = np.random.default_rng(seed).standard_normal((count, len(mean_D)))
    drawn -= drawn.mean(0)
    white = np.linalg.qr(drawn)[0] * np.sqrt(count - 1)
    return white * deviations_D + mean_D


@pytest.mark.parametrize("count", [pytest.param(50, id="more-than-dims"), pytest.param(9, id="one-more")])
def test_the_distance_of_known_gaussians(count):
    """Between diagonal covariances it is |difference of means|^2 + sum of (difference of deviations)^2."""
    made = gaussian(count, np.zeros(8), np.arange(1.0, 9.0), seed=1)
    real = gaussian(count, np.full(8, 0.5), np.full(8, 2.0), seed=1)
    expected = 8 * 0.25 + ((np.arange(1.0, 9.0) - 2) ** 2).sum()

    assert expected == pytest.approx(frechet(made, real), rel=1e-9)


def test_the_distance_to_itself_is_nought():
    """With fewer vectors than dimensions, too, where the covariance has no full rank."""
    for shape in ((200, 16), (10, 64)):
        vectors = RNG.standard_normal(shape)

        assert 0 == pytest.approx(frechet(vectors, vectors), abs=1e-9)


@pytest.mark.parametrize(
    ("made", "real"),
    [pytest.param(40, 60, id="many"), pytest.param(9, 14, id="few"), pytest.param(9, 60, id="few-and-many")],
)
def test_the_distance_is_that_of_the_covariances(made, real):
    """The textbook formula, with the root of the product taken by its eigenvalues, gives the same."""
    made_ND = RNG.standard_normal((made, 12)) @ RNG.standard_normal((12, 12))
    real_MD = RNG.standard_normal((real, 12)) + 1
    first, second = np.cov(made_ND.T), np.cov(real_MD.T)
    root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    apart = made_ND.mean(0) - real_MD.mean(0)
    expected = apart @ apart + np.trace(first) + np.trace(second) - 2 * root

    assert expected == pytest.approx(frechet(made_ND, real_MD), rel=1e-5)


def test_kl_of_known_probabilities():
    """A certain class against a fair coin is log 2; two equal distributions are nought apart."""
    certain, fair = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])

    assert np.log(2) == pytest.approx(kl(certain, fair), abs=1e-4)
    assert 0 == kl(fair, fair)
    # Of the real given the made: a maker that rules out what is real pays the most.
    assert kl(fair, certain) > kl(certain, fair)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param(np.tile(np.eye(5), (4, 1)), 5, id="each-class-as-often"),
        pytest.param(np.full((20, 5), 0.2), 1, id="undecided"),
        pytest.param(np.tile(np.eye(5)[0], (20, 1)), 1, id="one-class-only"),
    ],
)
def test_inception_score_of_known_probabilities(probabilities, expected):
    """From 1 to the number of classes."""
    assert expected == pytest.approx(inception_score(probabilities), rel=1e-4)


def test_the_mean_of_splits():
    """Splits that see one class each find nothing but sameness."""
    assert 1 == pytest.approx(inception_score(np.repeat(np.eye(4), 3, axis=0), splits=4), rel=1e-4)


@dataclass
class Loudness:
    """Hears how loud the halves of a sound are, and which is louder."""

    name: str = "loudness"
    sampling_rate_hz: int = 16_000
    resampler: str = "none"

    def listen(self, sounds, sampling_rate_hz):
        assert self.sampling_rate_hz == sampling_rate_hz
        vectors = np.array([[np.abs(half).mean() for half in np.array_split(sound, 2)] for sound in sounds])
        return vectors.astype(np.float32), (20 * vectors).astype(np.float32)


def sounds(count, seed):
    rng = np.random.default_rng(seed)
    return {str(row): rng.standard_normal(400) * rng.uniform(0.5, 2, 1) for row in range(count)}


def test_scores_name_what_decides_them():
    """How many sounds, how many pairs, who listened and at which rate; pairs are those of one name."""
    made, real = sounds(12, 1), sounds(9, 2)
    found = score(Loudness(), made, real, 16_000)

    assert ("loudness", 16_000, "none") == (found.embedder, found.sampling_rate_hz, found.resampler)
    assert (12, 9, 9) == (found.made, found.real, found.pairs)
    assert found.frechet.interval[0] <= found.frechet.distance <= found.frechet.interval[1]
    assert not found.frechet.too_few
    assert found == score(Loudness(), made, real, 16_000)


def test_the_same_sounds_score_best():
    """Distance and divergences of a set from itself are nought; a louder set's are not."""
    real = sounds(12, 1)
    same = score(Loudness(), real, real, 16_000)
    louder = score(Loudness(), {name: 3 * sound for name, sound in real.items()}, real, 16_000)

    assert 0 == pytest.approx(same.frechet.distance, abs=1e-9)
    assert 0 == pytest.approx(same.kl_softmax, abs=1e-9)
    assert louder.frechet.distance > 1
    assert louder.kl_softmax > 0
    assert same.kl_sigmoid != louder.kl_sigmoid


def test_too_few_sounds_are_said():
    """No more sounds than dimensions: the distance stands with a warning beside it."""
    assert score(Loudness(), sounds(2, 1), sounds(9, 2), 16_000).frechet.too_few


def test_without_pairs_there_is_no_divergence():
    """Null, not nought."""
    found = score(
        Loudness(), {f"made-{name}": sound for name, sound in sounds(4, 1).items()}, sounds(4, 2), 16_000
    )

    assert found.kl_softmax is None
    assert 0 == found.pairs


def test_one_sound_is_no_set():
    """Said with the numbers, and what to give."""
    with pytest.raises(ConfigError, match="1 generated and 4 real sounds have no spread"):
        score(Loudness(), sounds(1, 1), sounds(4, 2), 16_000)


def test_softmax_of_large_logits():
    """A thousand is no overflow."""
    assert np.allclose([[1, 0]], softmax(np.array([[1000.0, 0.0]])))
