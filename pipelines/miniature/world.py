"""The scenes of the miniature world, and how one is drawn from a number.

A scene is a handful of things of one kind: how many, what colour, how big (so how low it sounds) and
where. Pictures, sounds and captions are all made from a scene, and a scene is made from
`(seed, split, index)` alone: any row can be drawn again at any time, so nothing is stored.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Split = Literal["train", "heldout"]
Pitch = Literal["low", "middle", "high"]
Medium = Literal["picture", "sound"]

KINDS: tuple[str, ...] = (
    "bell", "rain", "siren", "bird", "clock", "drum", "dog", "cat",
    "frog", "cricket", "bee", "train", "helicopter", "wave", "fire", "thunder",
    "phone", "whistle", "guitar", "piano", "flute", "door", "typewriter", "horn",
)  # fmt: skip
COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
PITCHES: tuple[Pitch, ...] = get_args(Pitch)
BACKGROUNDS: tuple[str, ...] = ("meadow", "street", "night", "beach", "room", "snow")
MAX_COUNT = 4

# One combination of kind, colour and background in five is excluded from training, so that a held-out picture
# is not a training picture with other noise.
_HELD_OUT_IN = 5


@dataclass(frozen=True, slots=True)
class Scene:
    """The content of one row of the world, seen and heard.

    Attributes:
        kind: one of `KINDS`.
        count: how many of it, 1 to `MAX_COUNT`; heard as the number of events.
        colour: one of `COLOURS`; seen only.
        pitch: seen as size (low = large) and heard as pitch.
        background: one of `BACKGROUNDS`; seen as the ground, heard as the noise behind.
        seed: of everything else (places, angles, timings, noise).
    """

    kind: str
    count: int
    colour: str
    pitch: Pitch
    background: str
    seed: int

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the random stream of this scene for one purpose ("picture", "sound", "caption")."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])


def split_of(kind: str, colour: str, background: str) -> Split:
    """Return the one split in which this combination may be drawn."""
    held_out = zlib.crc32(f"{kind}/{colour}/{background}".encode()) % _HELD_OUT_IN == 0
    return "heldout" if held_out else "train"


def draw(seed: int, split: Split, index: int) -> Scene:
    """Return scene number `index` of a split; kinds are equally likely, splits share no combination."""
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    kind = KINDS[int(rng.integers(len(KINDS)))]
    while True:
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        background = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
        if split_of(kind, colour, background) == split:
            break
    return Scene(
        kind=kind,
        count=int(rng.integers(1, MAX_COUNT + 1)),
        colour=colour,
        pitch=PITCHES[int(rng.integers(len(PITCHES)))],
        background=background,
        seed=int(rng.integers(2**63)),
    )
