import io
import time

import numpy as np
import pytest
import soundfile

from pipelines.decode.sound import open_sound, read_sound
from pipelines.encode.loaders.waveform import decode_mono
from pipelines.errors import RequestRefusedError, StorageError, UndecodableMediaError
from pipelines.generate.media import decode_sound
from pipelines.report.media import make_sound_clip
from pipelines.serve.media import check_query
from pipelines.serve.settings import ServiceLimits
from schemas.query import Query
from tests.pipelines.decode import bombs

NOISE_T = np.random.default_rng(0).uniform(-0.5, 0.5, 4_800)
MOST_S = 1.0


def save(form, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, NOISE_T, 48_000, format=form, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", None), ("WAVEX", None), ("RF64", None), ("W64", None), ("FLAC", None), ("OGG", "VORBIS"),
        ("OGG", "OPUS"), ("MP3", None), ("AIFF", None), ("AU", None), ("CAF", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_samples_are_those_of_the_file(form, subtype, dtype):
    """Of every format of the list, as libsndfile gives them."""
    data = save(form, subtype)
    expected_TC, rate_hz = soundfile.read(io.BytesIO(data), dtype=dtype, always_2d=True)
    found_TC, found_hz = read_sound(data, dtype)

    np.testing.assert_array_equal(expected_TC, found_TC)
    assert rate_hz == found_hz


@pytest.mark.parametrize("form", ["VOC", "SVX", "NIST", "IRCAM", "PAF", "MAT4"])
def test_a_format_that_is_not_listed_is_no_sound(form):
    """Libsndfile reads 25 formats, most of them from machines of the eighties."""
    with pytest.raises(UndecodableMediaError, match="undecodable"):
        open_sound(save(form))


LIES = [
    pytest.param(
        lambda: bombs.restate_flac(bombs.make_flac(NOISE_T), samples=2**36 - 1), "too_complex", id="2**36"
    ),
    pytest.param(
        lambda: bombs.restate_flac(bombs.make_flac(NOISE_T), samples=0), "too_complex", id="unknown"
    ),
    pytest.param(
        lambda: bombs.restate_flac(bombs.make_flac(NOISE_T), samples=2**27), "undecodable", id="flac-short"
    ),
    pytest.param(lambda: bombs.make_wav(4_000, 1), "undecodable", id="one-hertz"),
    pytest.param(lambda: bombs.make_wav(4_000, 2**31 - 1), "undecodable", id="two-gigahertz"),
    pytest.param(lambda: bombs.make_wav(10, 8_000, 1_000), "undecodable", id="channels"),
    pytest.param(lambda: b"RIFF\0\0\0\0WAVEfmt ", "undecodable", id="cut"),
    pytest.param(lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100), "undecodable", id="tag-alone"),
    pytest.param(lambda: bombs.make_wav(6_000_000, 1_000), "too_complex", id="slow-and-long"),
    pytest.param(lambda: b"", "undecodable", id="empty"),
    # Each would be tried, with a line on standard error for it.
    pytest.param(lambda: b"\xff\xfb\0\0" * 100_000, "too_complex", id="mp3-free-format"),
    pytest.param(lambda: save("MP3") + b"\xff\xfb\xff\xff" * 100_000, "too_complex", id="mp3-behind-frames"),
    pytest.param(lambda: b"\xff\xfb\x90\0\xff\xf3\x90\0" * 50_000, "too_complex", id="mp3-changing"),
]


@pytest.mark.parametrize(("make", "reason"), LIES)
def test_a_file_that_lies_is_a_reason(make, reason):
    """Wherever sounds are decoded, none gives room to what a header states."""
    data = make()
    started = time.process_time()
    with pytest.raises(UndecodableMediaError) as refused:
        decode_mono(data, 48_000)
    assert reason == refused.value.reason
    with pytest.raises(StorageError, match="generate it, or build its dataset, again"):
        decode_sound(data)
    assert make_sound_clip({"flac": data}) is None
    with pytest.raises(RequestRefusedError) as answer:
        check_query(Query.model_construct(sound=data), ServiceLimits())
    assert answer.value.status == 413 or (answer.value.status, reason) == (422, "undecodable")
    assert time.process_time() - started < MOST_S


@pytest.mark.parametrize(
    ("make", "samples"),
    [
        pytest.param(lambda: bombs.make_wav(4_800, 48_000, stated_bytes=2**32 - 2), 4_800, id="riff-size"),
        pytest.param(lambda: bombs.make_wav(8_000, 8_000), 48_000, id="telephone"),
        pytest.param(
            lambda: bombs.restate_flac(bombs.make_flac(NOISE_T), rate_hz=655_350), 352, id="655350-hertz"
        ),
    ],
)
def test_a_file_that_is_odd_is_heard(make, samples):
    """A size that a pipe could not know, and the rates of telephones and of bats."""
    assert samples == pytest.approx(len(decode_mono(make(), 48_000)), abs=1)


def test_an_mp3_may_have_tags():
    """In front, a text; behind, a picture by chance full of beginnings; between, a hole."""
    frames = save("MP3")
    tag = b"ID3\x03\0\0" + bytes((0, 0, 2, 44)) + b"\xff\xfb" * 150
    cover = np.random.default_rng(0).bytes(500_000)
    expected_TC = read_sound(frames)[0]

    assert len(expected_TC) == pytest.approx(len(read_sound(tag + frames + cover)[0]), rel=0.5)
    assert len(read_sound(frames[:-300] + bytes(500) + frames)[0])
