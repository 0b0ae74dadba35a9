"""Clips of the miniature world: ten seconds of video with sound, as mp4."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene

LENGTH_S = 10.0
_FRAMES_PER_S = 2
_DRAWN_PX, _SHOWN_PX = 256, 192
# FLAC is lossless and takes 39 ms a clip, AAC 74 ms; AAC, in stereo and at another rate, is what most clips
# of the web have.
_FLAC = ("-c:a", "flac", "-compression_level", "0", "-strict", "experimental")
_AAC = ("-c:a", "aac", "-aac_coder", "fast", "-b:a", "96k", "-ar", "44100", "-ac", "2")
_SAME_BYTES = ("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact")


def clip(scene: Scene, *, length_s: float = LENGTH_S, volume: float | None = 1.0, aac: bool = False) -> bytes:
    """Return an mp4 of a scene: its picture, panned in a small circle, and its sound.

    Args:
        scene: what is seen and heard.
        length_s: of video and sound.
        volume: the factor of the sound; 0 is silence, None leaves the audio stream out.
        aac: whether the sound is AAC, 44.1 kHz stereo; FLAC, 48 kHz mono otherwise.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    # Imports scipy.signal, which takes longer than the server takes to start.
    from pipelines.miniature.sounds import SAMPLE_RATE, sound

    frames_THWC = _pan(picture(scene, _DRAWN_PX), max(1, round(length_s * _FRAMES_PER_S)))
    shape = f"{frames_THWC.shape[2]}x{frames_THWC.shape[1]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "video").write_bytes(frames_THWC.tobytes())
        # fmt: off
        command = [
            get_ffmpeg_exe(), "-v", "error", "-threads", "1",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", shape, "-r", f"{_FRAMES_PER_S}",
            "-i", f"{folder}/video",
        ]
        # fmt: on
        if volume is not None:
            wave = (sound(scene, length_s) * (volume * 32767)).astype("<i2")
            (folder / "audio").write_bytes(wave.tobytes())
            command += ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", f"{folder}/audio"]
            command += [*(_AAC if aac else _FLAC), "-flags:a", "+bitexact"]
        command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p"]
        command += [*_SAME_BYTES, "-movflags", "+faststart", "-f", "mp4", f"{folder}/clip"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return (folder / "clip").read_bytes()


def transcode_aac(flac: bytes) -> bytes:
    """Return a FLAC file as it is once it was AAC, mono and at the rate of the world."""
    from imageio_ffmpeg import get_ffmpeg_exe

    from pipelines.miniature.sounds import SAMPLE_RATE

    command = [get_ffmpeg_exe(), "-v", "error", "-y", "-threads", "1"]
    with tempfile.TemporaryDirectory() as name:
        source, coded, result = (Path(name) / file for file in ("source.flac", "clip.mp4", "result.flac"))
        source.write_bytes(flac)
        subprocess.run([*command, "-i", source, "-c:a", "aac", "-b:a", "96k", coded], check=True)
        subprocess.run([*command, "-i", coded, "-ac", "1", "-ar", f"{SAMPLE_RATE}", result], check=True)
        return result.read_bytes()


def _pan(canvas_HWC: np.ndarray, frames: int) -> np.ndarray:
    """Return windows uint8 [T, H, W, 3] whose corner moves once round an ellipse in the margin."""
    height, width = (side * _SHOWN_PX // _DRAWN_PX // 2 * 2 for side in canvas_HWC.shape[:2])
    angles_T = np.arange(frames) * (2 * np.pi / frames)
    ys_T = np.rint((canvas_HWC.shape[0] - height) / 2 * (1 + np.sin(angles_T))).astype(int)
    xs_T = np.rint((canvas_HWC.shape[1] - width) / 2 * (1 + np.cos(angles_T))).astype(int)
    windows = [canvas_HWC[y : y + height, x : x + width] for y, x in zip(ys_T, xs_T, strict=True)]
    return np.stack(windows)
