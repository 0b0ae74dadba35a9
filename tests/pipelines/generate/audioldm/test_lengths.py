import numpy as np
import pytest

from pipelines.generate.audioldm.lengths import SoundLengths, compute_lengths

AUDIOLDM = {"rate_hz": 16_000, "hop": 160, "frames_a_latent": 4}
POCKET = {"rate_hz": 16_000, "hop": 320, "frames_a_latent": 8}


@pytest.mark.parametrize(
    ("length_s", "of", "expected"),
    [
        (2.5, AUDIOLDM, SoundLengths(252, 63, 40_000)),
        (5.0, AUDIOLDM, SoundLengths(500, 125, 80_000)),
        (5.12, AUDIOLDM, SoundLengths(512, 128, 81_920)),
        (10.0, AUDIOLDM, SoundLengths(1000, 250, 160_000)),
        (10.24, AUDIOLDM, SoundLengths(1024, 256, 163_840)),
        (0.04, AUDIOLDM, SoundLengths(4, 1, 640)),
        (2.5, POCKET, SoundLengths(128, 16, 40_000)),
        (5.12, POCKET, SoundLengths(256, 32, 81_920)),
        (10.0, POCKET, SoundLengths(504, 63, 160_000)),
    ],
    ids=lambda value: f"{value}" if isinstance(value, float) else "",
)
def test_sizes_are_those_of_diffusers(length_s, of, expected):
    """Frames are cut down, latents filled up, samples cut to length."""
    assert expected == compute_lengths(length_s, **of)


def test_every_length_rounds_as_the_pipeline_does():
    """The pipeline's own arithmetic, over every hundredth of a second up to 11 s."""
    factor = np.prod([5, 4, 2, 2, 2]) / 16_000
    for hundredths in range(4, 1100):
        length_s = hundredths / 100
        height = int(length_s / factor)
        if height % 4:
            height = int(np.ceil(height / 4)) * 4
        made = compute_lengths(length_s, **AUDIOLDM)
        assert (height, height // 4, int(length_s * 16_000)) == (made.frames, made.latents, made.samples)
