"""The Fréchet distance between the Gaussians of two sets of vectors, and its limit for endless sets.

FAD is this distance over VGGish (128 dimensions, 16 kHz), FD over PANNs' Cnn14 (2,048), FID over Inception.
It depends on the embedder, its sampling rate and the resampler: resampling alone moves it by up to 30
(audioldm_eval's README).

Shapes: N generated and M real items, D dimensions.
"""

from __future__ import annotations

import numpy as np

# Items a dimension below which the distance says more about the size of the sets than about them: of one
# law in 128 dimensions, two sets of 140 are 61 apart.
LEAST_ROWS_A_DIMENSION = 10
# As in Chong and Forsyth 2020, Effectively unbiased FID (arXiv 1911.07023).
_SIZES = 15
_SMALLEST_SHARE = 0.25


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


def frechet_infinity(
    generated_ND: np.ndarray, real_MD: np.ndarray, seed: int = 0, *, sample_real: bool = True
) -> float:
    """Return the distance that endless sets would have: the intercept of a line over 1 / size.

    The bias of the distance falls as 1 / size. Both sets are cut to the same shares, since a real set as
    small as the generated one is biased as much; fadtk cuts the generated set alone. The result can be
    below 0.

    Args:
        generated_ND: vectors.
        real_MD: vectors.
        seed: of the subsets.
        sample_real: whether the real set is cut, too.
    """
    rng = np.random.default_rng(seed)
    shares = np.linspace(_SMALLEST_SHARE, 1, _SIZES)
    distances = []
    for share in shares:
        generated = generated_ND[_draw_share(len(generated_ND), share, rng)]
        real = real_MD[_draw_share(len(real_MD), share, rng)] if sample_real else real_MD
        distances.append(frechet(generated, real))
    return float(np.polyfit(1 / shares, distances, 1)[1])


def is_too_few(rows: int, dims: int) -> bool:
    """Return whether a set is so small that its size alone decides a Fréchet distance.

    Args:
        rows: of the smaller set.
        dims: of the vectors.
    """
    return rows < LEAST_ROWS_A_DIMENSION * dims


def _draw_share(count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(count, max(2, round(share * count)), replace=False)
