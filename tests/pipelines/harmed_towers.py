"""Encoders whose audio tower was harmed while its text tower stayed as it was."""

import zlib
from dataclasses import dataclass

import numpy as np

from pipelines.encode.loaders.custom import CustomTower

HARMS = ("rotated", "negated", "drowned")


def harm(raw_BD, how):
    """Return vectors as a tower gives them that was rotated, negated or drowned in noise."""
    if how == "rotated":
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((raw_BD.shape[1],) * 2))[0]
        return (raw_BD @ turn).astype(np.float32)
    if how == "negated":
        return -raw_BD
    # Python's own hash differs from process to process, and the noise may not.
    rng = np.random.default_rng(zlib.crc32(raw_BD.tobytes()))
    noise = rng.standard_normal(raw_BD.shape) / np.sqrt(raw_BD.shape[1])
    return (0.03 * raw_BD / np.linalg.norm(raw_BD, axis=1, keepdims=True) + noise).astype(np.float32)


def harm_towers(towers, how):
    """Return towers of which the one of sounds is harmed."""
    audio = towers["audio"]
    return {
        "text": towers["text"],
        "audio": CustomTower(audio.prepare, lambda pieces: harm(audio.forward(pieces), how)),
    }


@dataclass(frozen=True)
class HarmedClap:
    """A loader of a CLAP whose audio tower was harmed; what it harms and how is in its space's name."""

    whole: object
    how: str

    modalities = ("text", "audio")

    def space(self):
        return self.whole.space().model_copy(update={"encoder": self.how})

    def load(self):
        return harm_towers(self.whole.load(), self.how)
