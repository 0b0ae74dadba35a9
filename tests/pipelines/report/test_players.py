import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipelines.report.players import draw_spectrogram


@pytest.mark.parametrize("samples", [10, 16_000], ids=["shorter-than-a-window", "a-second"])
def test_a_spectrogram_is_a_picture(samples):
    """A high tone is bright above, in the upper half."""
    wave_T = np.sin(2 * np.pi * 6_000 / 16_000 * np.arange(samples)).astype(np.float32)
    data = draw_spectrogram(wave_T, 16_000).removeprefix("data:image/png;base64,")
    shade_HW = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))

    assert (64, 180) == shade_HW.shape
    assert shade_HW[:32].max() == shade_HW.max()
    if samples > 1_000:
        assert shade_HW[:32].mean() > shade_HW[32:].mean()
