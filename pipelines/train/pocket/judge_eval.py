"""Scores the pocket judges on held-out media: each attribute, real and decoded sounds apart, and noise."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.judge_reader import RATE_HZ, JudgeReader
from pipelines.miniature import world
from pipelines.miniature.media import picture_file
from pipelines.miniature.pictures import picture
from pipelines.train.pocket.audioldm_data import render_sound
from pipelines.train.pocket.judge_data import STREAM, decode_sounds, read_attributes

# Of the scenes that judges are scored on, added to the seed of their stream.
_HELD_OUT_STREAM = 1_000_003
_MAX_ROWS = 1_000
_MAX_SOUNDS = 480
_SIZES_PX = (64, 32)


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return how often each judge is right, as `NAME_SET_ATTRIBUTE`, on held-out combinations.

    Args:
        weights: the folder of all judges, a folder each.
        seed: of the scenes.
        rows: pictures, 1,000 at most; of sounds 480 at most.

    Returns:
        Of pictures: the sets `real` (JPEG of 320 px), `64px`, `32px` (PNG) and `noise`. Of sounds: `real`
        (10 s), `decoded` (5.12 s through the pocket VAE and vocoder) and `noise`. Of noise the kind alone.
    """
    scores: dict[str, float] = {}
    media: dict[str, Mapping[str, Sequence[bytes]]] = {}
    scenes = draw_scenes(seed, min(rows, _MAX_ROWS))
    for folder in sorted(each for each in weights.iterdir() if each.is_dir()):
        reader = JudgeReader(folder)
        own = scenes if reader.medium == "picture" else scenes[:_MAX_SOUNDS]
        if reader.medium not in media:
            media[reader.medium] = MAKE_FILES[reader.medium](own)
        for name, files in media[reader.medium].items():
            found = score_reader(reader, files, own)
            names = ["kind"] if name == "noise" else [*found]
            scores |= {f"{folder.name}_{name}_{each}": round(found[each], 4) for each in names}
    return scores


def draw_scenes(seed: int, rows: int) -> list[world.Scene]:
    """Return held-out scenes of a stream that nothing is trained on."""
    return [world.draw(STREAM + _HELD_OUT_STREAM + seed, "heldout", index) for index in range(rows)]


def score_reader(
    reader: JudgeReader, files: Sequence[bytes], scenes: Sequence[world.Scene]
) -> dict[str, float]:
    """Return attribute -> the share of files whose best value is their scene's.

    Args:
        reader: a judge.
        files: of its medium.
        scenes: of the files.
    """
    truth = [read_attributes(scene, reader.medium) for scene in scenes]
    scores: dict[str, float] = {}
    for name, logits_NV in reader.read(files).logits.items():
        found = [reader.values[name][best] for best in logits_NV.argmax(1)]
        scores[name] = float(np.mean([value == each[name] for value, each in zip(found, truth, strict=True)]))
    return scores


def make_pictures(scenes: Sequence[world.Scene]) -> dict[str, list[bytes]]:
    """Return set -> the files of the pictures of scenes."""
    files = {"real": [picture_file(scene) for scene in scenes]}
    for size_px in _SIZES_PX:
        files[f"{size_px}px"] = [write_png(_shrink(picture(scene, 256), size_px)) for scene in scenes]
    rng = np.random.default_rng(0)
    files["noise"] = [write_png(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in scenes]
    return files


def make_sounds(scenes: Sequence[world.Scene]) -> dict[str, list[bytes]]:
    """Return set -> the files of the sounds of scenes."""
    from pipelines.miniature.sounds import SAMPLE_RATE, sound

    rng = np.random.default_rng(0)
    decoded = decode_sounds(np.stack([render_sound(scene)[1] for scene in scenes]))
    noise = rng.uniform(-0.3, 0.3, decoded.shape).astype(np.float32)
    return {
        "real": [_write_flac(sound(scene), SAMPLE_RATE) for scene in scenes],
        "decoded": [_write_flac(wave_T, RATE_HZ) for wave_T in decoded],
        "noise": [_write_flac(wave_T, RATE_HZ) for wave_T in noise],
    }


MAKE_FILES = {"picture": make_pictures, "sound": make_sounds}


def _shrink(canvas_HWC: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(canvas_HWC, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)


def write_png(pixels_HWC: NDArray[np.uint8]) -> bytes:
    """Return a PNG of pixels, RGB."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels_HWC).save(file, "PNG")
    return file.getvalue()


def _write_flac(wave_T: NDArray[np.float32], rate_hz: int) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave_T.clip(-1, 1), rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
