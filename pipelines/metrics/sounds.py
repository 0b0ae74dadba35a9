"""Scores of generated sounds, from the vectors and logits of an embedder for them and for real sounds.

Shapes: N generated and M real sounds, D dimensions, C classes. The scores depend on the embedder, its
sampling rate and the resampler: resampling alone moves a Fréchet distance by up to 30 and KL by 0.4
(audioldm_eval's README). So scores name all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from pipelines.errors import ConfigError
from schemas.generated import FrechetDistance, SoundScores

# As in audioldm_eval: keeps the logarithm of a probability of zero finite.
_EPSILON = 1e-6
_RESAMPLES = 200
_SPLITS = 10


class Embedder(Protocol):
    """A net that returns a vector and class logits of a sound.

    FAD is `frechet` over VGGish (128 dimensions, 16 kHz), FD over PANNs' Cnn14 (2,048); KL and IS need the
    logits of a classifier that is no part of the generator. The pocket models stand in for all of them.
    """

    name: str
    sampling_rate_hz: int
    resampler: str

    def listen(self, sounds: list[np.ndarray], sampling_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors float32 [N, D] and logits float32 [N, C] of mono float32 sounds."""
        ...


def score(
    embedder: Embedder,
    generated: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray],
    sampling_rate_hz: int,
    seed: int = 0,
) -> SoundScores:
    """Return the scores of generated sounds against real ones; sounds of one name are a pair.

    Args:
        embedder: of both kinds of sounds.
        generated: name -> generated sound, mono float32.
        real: name -> real sound, mono float32; unpaired sounds count for the Fréchet distance alone.
        sampling_rate_hz: of both.
        seed: of the bootstrap.

    Raises:
        ConfigError: there are fewer than two sounds of either kind.
    """
    if min(len(generated), len(real)) < 2:
        raise ConfigError(
            f"{len(generated)} generated and {len(real)} real sounds have no spread to compare; "
            "give two of each or more"
        )
    generated_ND, generated_NC = embedder.listen(list(generated.values()), sampling_rate_hz)
    real_MD, real_MC = embedder.listen(list(real.values()), sampling_rate_hz)
    rows = {name: row for row, name in enumerate(real)}
    pairs = [(row, rows[name]) for row, name in enumerate(generated) if name in rows]
    paired = generated_NC[[row for row, _ in pairs]], real_MC[[row for _, row in pairs]]
    distance = frechet(generated_ND, real_MD)
    return SoundScores(
        embedder=embedder.name,
        sampling_rate_hz=embedder.sampling_rate_hz,
        resampler=embedder.resampler,
        made=len(generated),
        real=len(real),
        pairs=len(pairs),
        frechet=FrechetDistance(
            distance=distance,
            interval=_interval(generated_ND, real_MD, distance, seed),
            dims=generated_ND.shape[1],
            too_few=min(len(generated), len(real)) <= generated_ND.shape[1],
        ),
        kl_softmax=kl(softmax(paired[1]), softmax(paired[0])) if pairs else None,
        kl_sigmoid=kl(_sigmoid(paired[1]), _sigmoid(paired[0])) if pairs else None,
        inception_score=inception_score(softmax(generated_NC), min(_SPLITS, len(generated))),
    )


def frechet(generated_ND: np.ndarray, real_MD: np.ndarray) -> float:
    """Return the Fréchet distance (squared, as FAD and FD are reported) between the Gaussians of two sets.

    The trace of the root of the product of two covariances is the sum of the singular values of the product
    of the centred sets, so the covariances need neither full rank nor to be computed at all.
    """
    generated, real = generated_ND.astype(np.float64), real_MD.astype(np.float64)
    offset = generated.mean(0) - real.mean(0)
    generated = (generated - generated.mean(0)) / np.sqrt(len(generated) - 1)
    real = (real - real.mean(0)) / np.sqrt(len(real) - 1)
    if min(len(generated), len(real)) > generated.shape[1]:
        # QR factors R have the same covariances and make the product D x D instead of N x M.
        generated, real = np.asarray(np.linalg.qr(generated, "r")), np.asarray(np.linalg.qr(real, "r"))
    trace = np.linalg.svd(generated @ real.T, compute_uv=False).sum()
    return float(max(offset @ offset + (generated**2).sum() + (real**2).sum() - 2 * trace, 0.0))


def kl(real_NC: np.ndarray, generated_NC: np.ndarray) -> float:
    """Return the mean over pairs of the sum over classes of p log(p / q), real p and generated q, in nats.

    For probabilities that sum to 1 it is KL(real || generated). For independent classes it is the
    "sigmoid" number of audioldm_eval, which ignores absent classes and so can be negative.
    """
    ratio = np.log(real_NC + _EPSILON) - np.log(generated_NC + _EPSILON)
    return float((real_NC * ratio).sum(1).mean())


def inception_score(probabilities_NC: np.ndarray, splits: int = 1) -> float:
    """Return exp of the mean KL(p(y|x) || p(y)), from 1 (all alike) to C, averaged over equal splits."""
    scores = []
    for part in np.array_split(probabilities_NC, splits):
        ratio = np.log(part + _EPSILON) - np.log(part.mean(0, keepdims=True) + _EPSILON)
        scores.append(np.exp((part * ratio).sum(1).mean()))
    return float(np.mean(scores))


def softmax(logits_NC: np.ndarray) -> np.ndarray:
    """Return probabilities that sum to 1 in every row."""
    powers = np.exp(logits_NC.astype(np.float64) - logits_NC.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _sigmoid(logits_NC: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits_NC.astype(np.float64))))


def _interval(
    generated_ND: np.ndarray, real_MD: np.ndarray, distance: float, seed: int
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over sounds, corrected for its bias.

    A resampled set has fewer distinct sounds, which alone makes its distance larger.
    """
    rng = np.random.default_rng(seed)

    def resample(vectors: np.ndarray) -> np.ndarray:
        return vectors[rng.integers(0, len(vectors), len(vectors))]

    distances = np.array([frechet(resample(generated_ND), resample(real_MD)) for _ in range(_RESAMPLES)])
    low, high = np.quantile(distances - distances.mean() + distance, (0.025, 0.975))
    return float(max(low, 0.0)), float(high)
