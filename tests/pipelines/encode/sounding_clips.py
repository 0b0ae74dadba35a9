"""Clips as they are read from a committed shard."""

import io

import numpy as np
import soundfile

from schemas.sample import FRAMES, SAMPLE_RATE_HZ


def flac(wave_T):
    file = io.BytesIO()
    soundfile.write(file, (wave_T * 32767).astype(np.int16), SAMPLE_RATE_HZ, format="FLAC")
    return file.getvalue()


def clips(sounds, frames=None, length_s=10.0):
    """Rows as they are read from a committed shard; their captions say nothing."""
    count = len(sounds)
    return {
        "key": [f"{row:08d}" for row in range(count)],
        "id": [f"{row:032x}" for row in range(count)],
        "kind": ["clip"] * count,
        "source": ["vggsound"] * count,
        "outcome": ["ok"] * count,
        "reason": [""] * count,
        "caption": [""] * count,
        "width": [64 if frames else None] * count,
        "length_s": [length_s] * count,
        "flac": list(sounds),
    } | {name: [(frames or [b""] * 4)[number]] * count for number, name in enumerate(FRAMES)}
