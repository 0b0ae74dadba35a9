import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.report.media import SOUND_S, make_sound_clip, make_thumbnail, read_members


def bytes_of(uri: str, kind: str) -> io.BytesIO:
    head, _, data = uri.partition(",")
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(data))


def test_members_are_those_of_the_keys(root):
    """Of a clip its first frame and its sound, of a picture the picture, and nothing of a lost row."""
    assert {key: set(found) for key, found in read_members(root, 2, ["000022", "000023"]).items()} == {
        "000022": {"0.jpg", "flac"}
    }
    assert {key: set(found) for key, found in read_members(root, 0, ["000000"]).items()} == {
        "000000": {"jpg"}
    }


def test_thumbnail_keeps_the_shape(root):
    """A picture of 320 x 240 comes out as 160 x 120, as does the frame of a clip."""
    picture = read_members(root, 0, ["000000"])["000000"]
    clip = read_members(root, 2, ["000020"])["000020"]

    for of in (picture, clip):
        with Image.open(bytes_of(make_thumbnail(of), "image/jpeg")) as small:
            assert small.size == (160, 120)


def test_sound_is_its_beginning(root):
    """Five of eight seconds, at the same pitch: 442 Hz for row 2."""
    made = make_sound_clip(read_members(root, 2, ["000022"])["000022"])
    samples_T, rate_hz = soundfile.read(bytes_of(made, "audio/mpeg"))
    spectrum_F = np.abs(np.fft.rfft(samples_T))

    assert len(samples_T) / rate_hz == pytest.approx(SOUND_S, abs=0.1)
    assert np.argmax(spectrum_F) * rate_hz / len(samples_T) == pytest.approx(442, abs=1)


def test_media_that_cannot_be_decoded_are_left_out():
    """A broken file costs its picture or sound, not the page."""
    assert make_thumbnail({}) is None
    assert make_sound_clip({}) is None
    assert make_thumbnail({"jpg": b"\xff\xd8\xff broken"}) is None
    assert make_sound_clip({"flac": b"fLaC broken"}) is None
