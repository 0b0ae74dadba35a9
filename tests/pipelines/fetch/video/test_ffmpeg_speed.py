"""Clips a second on one core, against ffmpeg alone on the same files."""

import os
import resource
import subprocess
import time

import pytest

from pipelines.fetch.video.clip import ClipReader
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from pipelines.fetch.worker import FetchRequest
from schemas.dataset import Fetch

CLIPS = int(os.environ.get("ECHOLENS_BENCH_CLIPS", "40"))
START_S, LENGTH_S = 25.0, 10.0


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A minute of noisy 360p video with stereo sound, as MP4 and WebM; what most of YouTube is."""
    folder = tmp_path_factory.mktemp("videos")
    sources = (
        "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=60",
        "-f", "lavfi", "-i", "anoisesrc=d=60:c=pink:r=44100,pan=stereo|c0=c0|c1=0.7*c0",
    )  # fmt: skip
    made = {
        "mp4": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-g", "125", "-c:a", "aac"),
        "webm": (
            "-c:v",
            "libvpx",
            "-b:v",
            "600k",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-c:a",
            "libopus",
        ),
    }
    for name, codecs in made.items():
        noisy = ("-vf", "noise=alls=8:allf=t", "-pix_fmt", "yuv420p")
        command = [
            find_ffmpeg(),
            "-v",
            "error",
            *sources,
            *noisy,
            *codecs,
            folder / f"whole.{name}",
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return folder


def alone(path, folder):
    """One ffmpeg that makes the same: ten seconds of 48 kHz mono FLAC and four JPEGs of 256 px."""
    # fmt: off
    command = [
        find_ffmpeg(), "-v", "error", "-y", "-nostdin", "-threads", "1",
        "-ss", str(START_S), "-t", str(LENGTH_S), "-i", path,
        "-map", "0:a", "-ac", "1", "-ar", "48000", folder / "sound.flac",
        "-map", "0:v", "-vf", f"fps=4/{LENGTH_S},scale=-2:256", "-q:v", "2", "-frames:v", "4",
        folder / "frame%d.jpg",
    ]
    # fmt: on
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def spent_s(work, times):
    """Return the seconds of CPU that a piece of work takes, with those of the processes it starts."""

    def cpu_s():
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    before = cpu_s()
    for _ in range(times):
        work()
    return (cpu_s() - before) / times


@pytest.mark.bench
@pytest.mark.parametrize("name", ["whole.mp4", "whole.webm"])
def test_cutting_is_as_fast_as_ffmpeg(videos, tmp_path, name):
    """Clips a second of one core: at least 0.8 of what ffmpeg alone makes."""
    reader = ClipReader(Fetch())
    requests = [FetchRequest("", local=True, start_s=START_S, length_s=LENGTH_S)]

    def ours():
        assert reader.cut(videos / name, requests)[0].outcome.status == "ok"

    ours()
    started = time.monotonic()
    rounds = max(1, CLIPS // 10)
    own_s, alone_s = 0.0, 0.0
    for _ in range(rounds):
        own_s += spent_s(ours, 5) / rounds
        alone_s += spent_s(lambda: alone(videos / name, tmp_path), 5) / rounds
    print(
        f"\n{name}: {1 / own_s:.2f} clips/s a core, ffmpeg alone {1 / alone_s:.2f}, "
        f"ratio {alone_s / own_s:.2f} ({time.monotonic() - started:.0f} s)"
    )

    assert alone_s / own_s >= 0.8


@pytest.mark.bench
def test_memory_is_flat(videos):
    """A hundred clips later, the process is as large as after ten."""
    reader = ClipReader(Fetch())
    requests = [FetchRequest("", local=True, start_s=START_S, length_s=LENGTH_S)]

    def grown_to_mb(clips):
        for _ in range(clips):
            reader.cut(videos / "whole.mp4", requests)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before_mb = grown_to_mb(max(2, CLIPS // 10))
    after_mb = grown_to_mb(CLIPS)
    print(f"\nmemory: {before_mb:.0f} MB, then {after_mb:.0f} MB after {CLIPS} clips more")

    assert after_mb < before_mb + 20
