import numpy as np
import pytest

from pipelines.encode.loaders.spectrogram import compute_features


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
@pytest.mark.parametrize("length", [1, 480, 20_000, 47_999, 48_000])
def test_it_is_the_extractors_own(truncation, padding, length):
    """The same bits as transformers' extractor for every way of filling a window, silence included."""
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor(max_length_s=1, frequency_min=50, truncation=truncation, padding=padding)
    samples_T = np.random.default_rng(length).standard_normal(length).astype(np.float32) * 0.1
    samples_T[length // 3 : length // 2] = 0

    expected = extractor(samples_T, sampling_rate=48_000, return_tensors="np")["input_features"][0]

    made = compute_features(extractor, samples_T)
    assert (expected.shape, np.float32) == (made.shape, made.dtype)
    np.testing.assert_array_equal(expected, made)
