import re
import subprocess
from pathlib import Path

import numpy as np

from pipelines.miniature.lists import scene_of
from pipelines.miniature.rows import WorldRow
from pipelines.miniature.sounds import sound


def heard(data: bytes, folder: Path) -> tuple[str, np.ndarray]:
    """Return what ffmpeg says of a clip, and its sound as int16 [T]."""
    from imageio_ffmpeg import get_ffmpeg_exe

    (folder / "clip.mp4").write_bytes(data)
    command = [get_ffmpeg_exe(), "-hide_banner", "-i", str(folder / "clip.mp4")]
    said = subprocess.run(command, capture_output=True, check=False).stderr.decode()
    if "Audio:" not in said:
        return said, np.zeros(0, np.int16)
    command += ["-ac", "1", "-f", "s16le", "-"]
    return said, np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")


def test_a_clip_is_ten_seconds_of_its_scene(web, tmp_path):
    """Video and, without loss in most clips, the sound of the scene."""
    row = next(r for n in range(40) if (r := WorldRow("vggsound", n)).oddity == "plain" and n % 4)
    said, wave = heard(web.get(web.url(row))[2], tmp_path)
    expected = (sound(scene_of(0, row), 10.0) * 32767).astype("<i2")

    assert "Duration: 00:00:10.00" in said
    assert re.search(r"Video: h264.*(192x192|192x144|144x192).*2 fps", said)
    assert np.array_equal(wave, expected)


def test_some_clips_are_aac(web, tmp_path):
    """As on the web: stereo, 44.1 kHz and lossy."""
    row = next(r for n in range(40) if (r := WorldRow("vggsound", n)).oddity == "plain" and n % 4 == 0)
    said, _ = heard(web.get(web.url(row))[2], tmp_path)

    assert re.search(r"Audio: aac.*44100 Hz, stereo", said)


def test_clips_without_sound(web, tmp_path):
    """One is silent, one has no audio stream, one lasts half a second."""
    _, silent = heard(web.body("silent", "vggsound"), tmp_path)
    without, _ = heard(web.body("no_audio", "vggsound"), tmp_path)
    short, _ = heard(web.body("short", "vggsound"), tmp_path)

    assert len(silent) > 400_000
    assert np.abs(silent.astype(int)).max() <= 1
    assert "Video: h264" in without
    assert "Audio:" not in without
    assert "Duration: 00:00:00.50" in short


def test_clips_that_are_none(web):
    """Cut off, empty, or a page that says sorry."""
    whole = len(web.body("plain", "vggsound", 1))

    assert 0 < len(web.body("truncated", "vggsound")) < whole
    assert web.body("empty", "vggsound") == b""
    assert web.body("html", "vggsound").startswith(b"<!DOCTYPE html>")
