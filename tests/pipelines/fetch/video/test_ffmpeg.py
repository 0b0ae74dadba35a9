"""Media that the world has and no list mentions, made by the real ffmpeg."""

import io
import subprocess
import time

import numpy as np
import pytest
import soundfile

from pipelines.fetch.stages import FetchClips
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from schemas.dataset import Fetch
from schemas.sample import SAMPLE_RATE_HZ
from tests.origins import ORIGINS

CLICK_S = 5.0
LOOP_S = 60
HOURS = 10


def ffmpeg(*arguments):
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *arguments], check=True)


def clicking(seconds, rate_hz=48_000, hiss=0.001):
    """Faint noise with 5 ms of loud noise at `CLICK_S`."""
    rng = np.random.default_rng(0)
    wave_T = rng.standard_normal(seconds * rate_hz) * hiss
    start = round(rate_hz * CLICK_S)
    wave_T[start : start + rate_hz // 200] = rng.uniform(-0.7, 0.7, rate_hz // 200)
    return wave_T


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A minute of clicks, and videos of a picture that moves, stands still, and ends."""
    folder = tmp_path_factory.mktemp("odd")
    soundfile.write(folder / "click.wav", clicking(12), 48_000)
    soundfile.write(folder / "minute.flac", clicking(LOOP_S, 8_000, hiss=0), 8_000)
    soundfile.write(folder / "loud.wav", np.clip(clicking(12) * 400, -1, 1), 48_000)
    click = ("-i", folder / "click.wav")
    moving = ("-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=12")
    still = (
        "-f",
        "lavfi",
        "-i",
        "mandelbrot=s=320x240:r=1:end_scale=0.3,trim=end_frame=1,loop=119:1,setpts=N/10/TB",
    )
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg(*moving, *click, *h264, "-c:a", "aac", folder / "moving.mp4")
    ffmpeg(*still, *click, *h264, "-crf", "30", "-c:a", "aac", "-frames:v", "120", folder / "still.mp4")
    ffmpeg(
        *moving, *click, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", folder / "moving.webm"
    )
    for name in ("click.flac", "click.mp3", "click.ogg"):
        ffmpeg(*click, *(("-c:a", "libvorbis") if name.endswith("ogg") else ()), folder / name)
    return folder


@pytest.fixture(scope="module")
def work():
    """The opened stage."""
    work = FetchClips(Fetch(timeout_s=20, retries=0, allow_private_hosts=True), origins=ORIGINS).open()
    yield work
    work.close()


def click_s(flac):
    """Return where the click is, and how long the sound is."""
    wave_T, rate_hz = soundfile.read(io.BytesIO(flac))
    loud_T = np.convolve(wave_T**2, np.ones(240), "valid")
    return np.argmax(loud_T) / rate_hz, len(wave_T) / rate_hz


@pytest.mark.parametrize(
    "name", ["moving.mp4", "moving.webm", "click.wav", "click.flac", "click.mp3", "click.ogg"]
)
def test_plain_media_of_the_web(work, server, asking, folder, name):
    """A URL of any of them is cut as the same file on disk is, to 50 ms."""
    url = server.put(name, (folder / name).read_bytes())
    cut = {"source": "folder", "start_s": 2.0, "length_s": 8.0}
    served, local = work(asking(url, **cut)), work(asking((folder / name).as_uri(), **cut))

    assert (["ok"], local["sha256"], local["0.jpg"]) == (served["outcome"], served["sha256"], served["0.jpg"])
    assert click_s(served["flac"][0]) == pytest.approx((CLICK_S - 2.0, 8.0), abs=0.05)


@pytest.mark.parametrize(
    "name",
    [
        "a name with spaces.wav",
        "-leading.wav",
        "--version.wav",
        'it\'s "quoted".wav',
        "$(touch pwned); touch pwned & `touch pwned` | x.wav",
        "звук 音 🔔.wav",
        "100%d # ? [a] {b} * ~.wav",
        "pipe:1.wav",
        "concat:a|b.wav",
        "two\nlines.wav",
    ],
)
def test_names_are_only_names(work, asking, folder, tmp_path, monkeypatch, name):
    """No shell sees them, and ffmpeg takes none for an option or a protocol."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes((folder / "click.wav").read_bytes())
    batch = work(asking((tmp_path / name).as_uri(), source="folder", start_s=0.0, length_s=10.0))

    assert ["ok"] == batch["outcome"]
    assert click_s(batch["flac"][0]) == pytest.approx((CLICK_S, 10.0), abs=0.05)
    assert [name] == [path.name for path in tmp_path.iterdir()]


@pytest.fixture(scope="module")
def ten_hours(folder):
    """A click every minute for ten hours, under a picture; 8 kHz mono, a few megabytes."""
    picture = ("-f", "lavfi", "-i", f"testsrc=s=32x32:r=1:d={LOOP_S}")
    codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "flac")
    ffmpeg(*picture, "-i", folder / "minute.flac", *codecs, folder / "minute.mkv")
    loops = str(HOURS * 60 - 1)
    ffmpeg("-stream_loop", loops, "-i", folder / "minute.mkv", "-c", "copy", folder / "long.mkv")
    return folder / "long.mkv"


def test_ten_hours(work, asking, ten_hours):
    """A cut near the end is exact and costs what one at the beginning does: the rest is not decoded."""
    costs_s = []
    for start_s in (2.0, 3600.0 * HOURS - LOOP_S + 2.0):
        started = time.perf_counter()
        batch = work(asking(ten_hours.as_uri(), source="folder", start_s=start_s, length_s=10.0))
        costs_s.append(time.perf_counter() - started)

        assert (["ok"], [32]) == (batch["outcome"], batch["original_width"])
        assert click_s(batch["flac"][0]) == pytest.approx((CLICK_S - 2.0, 10.0), abs=0.05)
    # Decoding ten hours takes hundreds of times as long.
    assert costs_s[1] < 20 * costs_s[0]


def test_ten_hours_without_a_length(work, asking, ten_hours):
    """What names no length is kept up to its first minute; a start beyond the end has its outcome."""
    row = {"source": "folder", "length_s": None}
    whole = work(asking(ten_hours.as_uri(), start_s=None, **row))
    beyond = work(asking(ten_hours.as_uri(), start_s=3600.0 * HOURS + 1, **row))

    assert 60 * SAMPLE_RATE_HZ == soundfile.info(io.BytesIO(whole["flac"][0])).frames
    assert (["invalid"], ["past_end"]) == (beyond["outcome"], beyond["reason"])


def test_what_filters_look_at(work, asking, folder):
    """How far the frames differ, and how much of the sound lies at full scale."""
    names = ("moving.mp4", "still.mp4", "click.wav", "loud.wav")
    urls = [(folder / name).as_uri() for name in names]
    batch = work(asking(*urls, source="folder", start_s=0.0, length_s=10.0))
    moving, still, *neither = batch["frame_change"]

    assert moving > 20
    assert still <= 2
    assert [None, None] == neither
    assert batch["full_scale_share"][:3] == [0.0, 0.0, 0.0]
    assert batch["full_scale_share"][3] > 0.0004
