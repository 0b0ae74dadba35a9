"""Sounds that decode to nothing, or to what is no sound: each has its outcome, and none is stored as ok."""

import io
import subprocess

import numpy as np
import pytest
import soundfile

from pipelines.errors import ClipCutError
from pipelines.fetch.video import clip, ffmpeg
from pipelines.fetch.video.clip import ClipReader
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from pipelines.fetch.worker import FetchRequest
from schemas.dataset import Fetch

RATE_HZ = 16_000
SECONDS = 4


def tone(hertz=440.0, seconds=SECONDS, gain=0.5):
    """Return a tone, float64 [T]."""
    return gain * np.sin(2 * np.pi * hertz * np.arange(int(RATE_HZ * seconds)) / RATE_HZ)


def stereo(left, right):
    return np.stack([left, right], axis=1)


def spoil(value, start=0, stop=None):
    wave = tone()
    wave[start:stop] = value
    return wave


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Write a sound, by libsndfile or, with options, by ffmpeg; return its path."""
    folder = tmp_path_factory.mktemp("odd")

    def write(name, wave, *options, subtype="PCM_16", **more):
        path = folder / name
        if not options:
            soundfile.write(path, wave, RATE_HZ, subtype=subtype, **more)
            return path
        channels = wave.shape[1] if wave.ndim == 2 else 1
        raw = ("-f", "f64le", "-ar", str(RATE_HZ), "-ac", str(channels), "-i", "pipe:0")
        command = [find_ffmpeg(), "-v", "error", "-y", *raw, *options, f"file:{path}"]
        subprocess.run(command, check=True, input=wave.astype("<f8").tobytes())
        return path

    return write


def cut(path, start_s=0.0, length_s=2.0):
    """Return the columns of a clip, or its outcome."""
    (made,) = ClipReader(Fetch()).cut(path, [FetchRequest("", True, start_s=start_s, length_s=length_s)])
    return made.columns if made.outcome.status == "ok" else str(made.outcome)


def cut_all(path, *starts_s):
    """Return the columns of several clips of a file, or their outcomes."""
    asked = [FetchRequest("", True, start_s=start_s, length_s=2.0) for start_s in starts_s]
    clips = ClipReader(Fetch()).cut(path, asked)
    return [made.columns if made.outcome.status == "ok" else str(made.outcome) for made in clips]


def heard(columns):
    """Return the loudest frequency of a clip, Hz, and its peak, dB."""
    wave, rate_hz = soundfile.read(io.BytesIO(columns["flac"]))
    return float(np.abs(np.fft.rfft(wave)).argmax() * rate_hz / len(wave)), columns["peak_dbfs"]


NOT_FINITE = {
    "all-nan.wav": (spoil(np.nan), "FLOAT"),
    "one-nan.wav": (spoil(np.nan, 5_000, 5_001), "FLOAT"),
    "one-inf.wav": (spoil(np.inf, 100, 101), "FLOAT"),
    "last-minus-inf.wav": (spoil(-np.inf, 2 * RATE_HZ - 50, 2 * RATE_HZ - 49), "FLOAT"),
    "double.wav": (spoil(np.nan, 9_000, 9_100), "DOUBLE"),
    "one-channel.wav": (stereo(tone(), spoil(np.nan)), "FLOAT"),
    "inf-against-inf.wav": (stereo(spoil(np.inf), spoil(-np.inf)), "DOUBLE"),
    "big-endian.aiff": (spoil(np.nan, 5_000, 5_001), "FLOAT"),
    "some.au": (spoil(np.inf, 5_000, 5_001), "DOUBLE"),
    "some.caf": (spoil(np.nan, 5_000, 5_001), "FLOAT"),
    "some.w64": (spoil(np.nan, 5_000, 5_001), "FLOAT"),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_samples_that_are_not_finite_are_no_sound(write, name):
    """One of them, or all; in floats of 32 or 64 bits."""
    wave, subtype = NOT_FINITE[name]

    assert "invalid/not_finite" == cut(write(name, wave, subtype=subtype))


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_a_film_may_have_floats(write, codec):
    """In Matroska as in WAV."""
    assert "invalid/not_finite" == cut(write(f"{codec}.mkv", spoil(np.nan, 5_000, 5_001), "-c:a", codec))


def test_only_the_clip_has_to_be_finite(write):
    """What a row does not ask for is not looked at."""
    path = write("late-nan.wav", spoil(np.nan, int(3.5 * RATE_HZ)), subtype="FLOAT")

    assert pytest.approx(440, abs=1) == heard(cut(path, 0.0, 2.0))[0]
    assert "invalid/not_finite" == cut(path, 2.0, 2.0)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_that_are_finite_are_a_sound(write, subtype):
    """Those of a float WAV are the samples of the same WAV in 16 bits, whatever lies beyond full scale."""
    plain = cut(write("plain.wav", tone(), subtype="PCM_24"))
    loud = tone()
    loud[3 * RATE_HZ :] = 1e30
    made = cut(write(f"{subtype}.wav", loud, subtype=subtype))

    first, second = (soundfile.read(io.BytesIO(each["flac"]), dtype="int16")[0] for each in (plain, made))
    np.testing.assert_allclose(first.astype(int), second, atol=1)


OUT_OF_PHASE = {
    "opposite.wav": (stereo(tone(), -tone()), ()),
    "opposite.flac": (stereo(tone(), -tone()), ()),
    "almost.wav": (stereo(tone(), -0.9 * tone()), ()),
    "right-is-louder.wav": (stereo(0.85 * tone(), -tone()), ()),
    "opposite.m4a": (stereo(tone(), -tone()), ("-c:a", "aac", "-b:a", "192k")),
    "four.wav": (np.stack([tone(), -tone(), tone(), -tone()], axis=1), ("-channel_layout", "quad")),
}


@pytest.mark.parametrize("name", OUT_OF_PHASE)
def test_channels_that_cancel_each_other_leave_the_louder(write, name):
    """The mix would be silence, or near it."""
    wave, options = OUT_OF_PHASE[name]
    hertz, peak_dbfs = heard(cut(write(name, wave, *options)))

    assert pytest.approx(440, abs=1) == hertz
    assert pytest.approx(-6, abs=1) == peak_dbfs


def test_other_mixes_stay_what_they_are(write):
    """Of channels that are alike, of one alone, and of two sounds; however quiet they are."""
    for gain, down in ((1.0, 0), (0.05, 26)):
        alike = write("alike.wav", stereo(tone(), tone()) * gain)
        one = write("one.wav", stereo(np.zeros_like(tone()), tone()) * gain)
        two = write("two.wav", stereo(tone(), tone(990)) * gain)

        assert pytest.approx(-6 - down, abs=0.5) == heard(cut(alike))[1]
        assert pytest.approx(-12 - down, abs=0.5) == heard(cut(one))[1]
        assert pytest.approx(-6.2 - down, abs=0.5) == heard(cut(two))[1]


def test_a_mono_sound_is_decoded_once(write, monkeypatch):
    """However quiet: there is nothing that could cancel it."""
    runs = []
    path = write("quiet.wav", tone(gain=0.001))
    streams = ffmpeg.probe_streams(path, 10**6)
    monkeypatch.setattr(ffmpeg, "run_ffmpeg", lambda *given, **more: runs.append(given) or b"\1\0" * 96_000)
    clip.cut_first_sound(path, streams, 0.0, 2.0)

    assert 1 == len(runs)


@pytest.fixture(scope="module")
def film(write):
    """Write a film with tracks of sound in a container."""

    def film(name, *tracks):
        paths = [write(f"{name}-{number}.wav", track) for number, track in enumerate(tracks)]
        target = paths[0].with_name(name)
        inputs = [part for path in paths for part in ("-i", str(path))]
        maps = [part for number in range(len(paths)) for part in ("-map", f"{number}:a")]
        picture = ("-f", "lavfi", "-i", f"color=s=64x48:r=5:d={SECONDS}")
        command = [find_ffmpeg(), "-v", "error", "-y", *inputs, *picture, *maps, "-map", f"{len(paths)}:v"]
        subprocess.run([*command, "-c:v", "mpeg4", f"file:{target}"], check=True, stdin=subprocess.DEVNULL)
        return target

    return film


SILENCE = np.zeros(RATE_HZ * SECONDS)
FAINT = tone(gain=0.0004)


@pytest.mark.parametrize(
    ("name", "tracks", "hertz"),
    [
        ("second.mp4", (SILENCE, tone(880)), 880),
        ("second.mkv", (SILENCE, tone(880)), 880),
        ("third.mov", (SILENCE, FAINT, tone(880)), 880),
        ("first.mkv", (tone(440), tone(880)), 440),
        ("short.mkv", (tone(440)[: RATE_HZ // 2], tone(880)), 880),
    ],
)
def test_the_first_track_that_is_not_silent_is_heard(film, name, tracks, hertz):
    """Many films have a first track without a sound; the order of the others is kept."""
    path = film(name, *tracks)

    assert pytest.approx(hertz, abs=2) == heard(cut(path, 1.0, 2.0))[0]


def test_a_film_that_is_silent_throughout_is_silence(film):
    """Then it is the filter's affair, as ever."""
    made = cut(film("silent.mkv", SILENCE, SILENCE))

    assert made["peak_dbfs"] is None


def test_a_track_that_cannot_be_decoded_is_not_needed(film, monkeypatch):
    """Silence that was decoded stays what it is; a first track that cannot be decoded is an outcome."""
    path, plain = film("broken.mkv", SILENCE, tone()), ffmpeg.cut_sound

    def fail(track):
        def cut_sound(path, start_s, length_s, of):
            if of.number == track:
                raise ClipCutError(ffmpeg.make_outcome("invalid", "undecodable"))
            return plain(path, start_s, length_s, of)

        return cut_sound

    monkeypatch.setattr(ffmpeg, "cut_sound", fail(1))
    assert cut(path)["peak_dbfs"] is None
    monkeypatch.setattr(ffmpeg, "cut_sound", fail(0))
    assert "invalid/undecodable" == cut(path)


def test_tracks_have_a_limit(film):
    """Each silent one costs a run of ffmpeg."""
    path = film("many.mkv", *[SILENCE[:RATE_HZ]] * 9, tone())

    assert 8 == len(ffmpeg.probe_streams(path, 10**6).tracks)


ENDED = {
    "end.wav": (), "end.mp3": ("-c:a", "libmp3lame"), "end.aac": ("-c:a", "aac"), "end.m4a": ("-c:a", "aac"),
    "end.ogg": ("-c:a", "libvorbis"), "end.opus": ("-c:a", "libopus"), "end.flac": ("-c:a", "flac"),
    "end.aiff": ("-c:a", "pcm_s16be"), "end.mpg": ("-c:a", "mp2", "-f", "mpeg"), "end.ts": ("-c:a", "mp2"),
    "end.mka": ("-c:a", "flac"), "end.wma": ("-c:a", "wmav2"), "end.avi": ("-c:a", "mp2"),
    "end.au": ("-c:a", "pcm_s16be"), "end.ac3": ("-c:a", "ac3"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDED)
def test_a_start_beyond_the_end_is_an_outcome(write, name):
    """Whatever a container answers to a seek there."""
    path = write(name, tone(), *ENDED[name])

    far, near, within = cut_all(path, 60.0, SECONDS + 0.5, 1.0)
    assert ["invalid/past_end"] * 2 == [far, near]
    assert pytest.approx(440, abs=2) == heard(within)[0]
