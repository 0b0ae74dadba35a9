import pytest

from pipelines.encode.loaders import waveform
from pipelines.encode.loaders.decode_cache import decode_once, share_decoded
from pipelines.encode.loaders.image import decode_image
from pipelines.encode.loaders.waveform import quantize


@pytest.fixture
def counted(monkeypatch):
    """Count how often Pillow opens something, and sounds are read."""
    from PIL import Image

    counts = {"picture": 0, "sound": 0}

    def counting(name, real):
        def call(*arguments, **named):
            counts[name] += 1
            return real(*arguments, **named)

        return call

    monkeypatch.setattr(Image, "open", counting("picture", Image.open))
    monkeypatch.setattr(waveform, "read_sound", counting("sound", waveform.read_sound))
    return counts


def test_towers_of_one_modality_share_a_decode(counted, jpeg, flac):
    """Two encoders of pictures and two of sounds decode a row's media once; the next row's anew."""
    for row in range(2):
        jpg, sound = jpeg(row), flac(row)
        with share_decoded():
            for _ in range(2):
                assert (40, 36) == decode_image(jpg).convert("RGB").size
                assert 33_600 == len(quantize(sound, 48_000))

    assert {"picture": 2, "sound": 2} == counted


def test_another_rate_is_another_sound(flac):
    """What differs in how it is decoded is not mixed up."""
    sound = flac(1)
    with share_decoded():
        lengths = [len(quantize(sound, rate_hz)) for rate_hz in (48_000, 16_000, 48_000)]

    assert [33_600, 11_200, 33_600] == lengths


def test_nothing_is_kept_outside():
    """Where nobody shares, as for a query, every call decodes."""
    made = [decode_once(b"item", "any", lambda item: object()) for _ in range(2)]

    assert made[0] is not made[1]
