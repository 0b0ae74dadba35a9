"""Generators of every medium: patterns of a vector, sentences of a caption, tones of nothing."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from pipelines.errors import ConfigError
from pipelines.generate.custom import CustomGenerator
from pipelines.generate.generator import Samples
from schemas.strict import StrictModel


class PatternParams(StrictModel):
    side: int = Field(24, ge=8, le=64)
    palette: Literal["warm", "cold"] = "warm"


@dataclass(frozen=True)
class Pattern(CustomGenerator):
    """Pictures: the first numbers of a vector as colours, in an order that the seed draws."""

    column: str = "clip_image"
    medium = "picture"
    params = PatternParams

    @property
    def reads(self):
        return (self.column,)

    def generate(self, prompts, seeds, params, progress=None):
        side, tint = params.side, (40 if params.palette == "warm" else 0)
        pictures = np.zeros((len(seeds), side, side, 3), np.uint8)
        for row, (vector, seed) in enumerate(zip(prompts[self.column], seeds, strict=True)):
            colours = np.clip(128 + 900 * vector[:12].reshape(4, 3), 0, 255)
            order = np.random.default_rng(seed).integers(0, 4, (8, 8))
            tiles = colours[order].repeat(-(-side // 8), 0).repeat(-(-side // 8), 1)[:side, :side]
            pictures[row] = np.clip(tiles + np.array([tint, 0, 40 - tint]), 0, 255)
            if progress:
                progress(row + 1, len(seeds))
        return Samples("picture", pictures, size=(side, side))


class SentenceParams(StrictModel):
    shout: bool = False


class Sentence(CustomGenerator):
    """Texts of captions: the caption, and a number that the seed draws."""

    medium, reads, params, batch_rows = "text", ("caption",), SentenceParams, 2

    def generate(self, prompts, seeds, params, progress=None):
        texts = [
            f"{text} <b>no. {seed % 97}</b>" for text, seed in zip(prompts["caption"], seeds, strict=True)
        ]
        return Samples("text", [text.upper() for text in texts] if params.shout else texts)


class Captioner(CustomGenerator):
    """Texts of vectors: the same number for the same picture."""

    medium, reads = "text", ("clip_image",)

    def generate(self, prompts, seeds, params, progress=None):
        hashes = [hashlib.sha256(vector.round(2).tobytes()).hexdigest() for vector in prompts["clip_image"]]
        return Samples(
            "text",
            [f"a thing like {each[:6]}, {seed % 10}" for each, seed in zip(hashes, seeds, strict=True)],
        )


class Both(CustomGenerator):
    """Texts of a sound's vector and a caption."""

    medium, reads = "text", ("clap_audio", "caption")

    def generate(self, prompts, seeds, params, progress=None):
        pairs = zip(prompts["clap_audio"], prompts["caption"], strict=True)
        return Samples("text", [f"{caption} at {np.linalg.norm(vector):.2f}" for vector, caption in pairs])


class PaintParams(StrictModel):
    warmth: float = Field(0.5, ge=0, le=10, json_schema_extra={"slider": [0, 1]})
    words: bool = True


class Paint(CustomGenerator):
    """Pictures of a sound's vector, whose words are their brightness."""

    medium, reads, params = "picture", ("clap_audio", "caption"), PaintParams

    def generate(self, prompts, seeds, params, progress=None):
        pictures = np.zeros((len(seeds), 16, 16, 3), np.uint8)
        pairs = zip(prompts["clap_audio"], prompts["caption"], seeds, strict=True)
        for row, (vector, caption, seed) in enumerate(pairs):
            tiles = np.clip(128 + 900 * vector[:256].reshape(16, 16), 0, 255)
            pictures[row] = np.stack(
                [tiles * params.warmth, tiles / 2, tiles * 0 + seed % 200 + len(caption)], -1
            )
        return Samples("picture", pictures, size=(16, 16))


class Prior(CustomGenerator):
    """Sounds of nothing but a seed."""

    medium, reads = "sound", ()

    def generate(self, prompts, seeds, params, progress=None):
        assert {} == dict(prompts)
        tones = np.array([200 + seed % 300 for seed in seeds])[:, None] * np.arange(1_600) / 1_600
        return Samples("sound", np.sin(2 * np.pi * tones).astype(np.float32), rate_hz=1_600)


@dataclass(frozen=True)
class Wrong(CustomGenerator):
    """A generator of captions with a fault."""

    fault: str = ""
    medium, reads, batch_rows = "picture", ("caption",), 4

    def generate(self, prompts, seeds, params, progress=None):
        count = len(seeds)
        good = np.zeros((count, 8, 8, 3), np.uint8)
        if self.fault == "raises":
            raise ValueError("out of\npaint")
        if self.fault == "refuses":
            raise ConfigError("no paint is left; buy some")
        return {
            "medium": lambda: Samples("text", ["a"] * count),
            "count": lambda: Samples("picture", np.zeros((count + 1, 8, 8, 3), np.uint8), size=(8, 8)),
            "dtype": lambda: Samples("picture", good.astype(np.float32), size=(8, 8)),
            "shape": lambda: Samples("picture", good[..., 0], size=(8, 8)),
            "size": lambda: Samples("picture", good, size=(4, 8)),
            "plain": lambda: good,
        }[self.fault]()


@dataclass(frozen=True)
class WrongText(Wrong):
    medium = "text"

    def generate(self, prompts, seeds, params, progress=None):
        return Samples(
            "text", {"bytes": [b"a"] * len(seeds), "surrogate": ["\ud800"] * len(seeds)}[self.fault]
        )


@dataclass(frozen=True)
class WrongSound(Wrong):
    medium = "sound"

    def generate(self, prompts, seeds, params, progress=None):
        wave = np.zeros((len(seeds), 100), np.float32)
        wave[:, 3] = np.nan
        return {
            "nan": Samples("sound", wave, rate_hz=100),
            "rate": Samples("sound", wave),
            "dtype": Samples("sound", wave.astype(np.float64), rate_hz=100),
        }[self.fault]


class Mute:
    """It is opened into what generates nothing."""

    params = SentenceParams

    def open(self):
        return object()

    def fingerprint(self):
        return Sentence().fingerprint()

    def describe(self):
        return Sentence().describe()


class Locked(Sentence):
    def open(self):
        raise OSError("no key")


class Speechless(Captioner):
    """It is described with a text tower and has none."""

    def describe(self):
        return super().describe().model_copy(update={"text_sha256": "1" * 64})


class Undescribed(Mute):
    def describe(self):
        return {"medium": "text"}


class ReadsWhat(Sentence):
    reads = ("colours",)


class NoParams(Sentence):
    params = None


@dataclass
class Changing(Sentence):
    """It is no frozen dataclass, so it has no hash."""

    word: str = ""


class NoSpec:
    """Nothing of a generator."""
