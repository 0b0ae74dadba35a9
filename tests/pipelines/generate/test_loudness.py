import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.generate.loudness import normalize_loudness


@pytest.mark.parametrize("peak", [0.001, 0.3, 1.0, 4.0], ids=str)
def test_whispers_and_shouts_come_to_one_level(peak):
    """Every sound peaks at -1 dBFS, whatever it came with; its shape stays."""
    given_T = peak * np.sin(np.arange(800) / 7).astype(np.float32)

    made_T = normalize_loudness(given_T[None])[0]

    assert 10 ** (-1 / 20) == pytest.approx(np.abs(made_T).max(), rel=1e-5)
    assert 1 == pytest.approx(np.corrcoef(given_T, made_T)[0, 1])


def test_silence_stays_silent():
    """What is as good as nothing is not blown up to noise."""
    given_NT = np.array([[0.0, 0.0], [1e-5, -1e-5]], np.float32)
    np.testing.assert_array_equal(given_NT, normalize_loudness(given_NT))


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_no_numbers_are_no_sound(bad):
    """Half precision may overflow; the sentence names the way out."""
    with pytest.raises(ConfigError, match="fp32"):
        normalize_loudness(np.array([[0.1, bad]], np.float32))
