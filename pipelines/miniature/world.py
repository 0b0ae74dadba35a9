"""The scenes of the miniature world, and how one is drawn from a number.

A scene is a handful of things of one kind: how many, what colour, how big (so how low it sounds) and
where. Pictures, sounds and captions are all made from a scene, and a scene is made from its stream, seed,
split and index alone: any row can be drawn again at any time, so nothing is stored.

Two rules hold out one combination in five. `split_of` holds out what a picture shows (kind, colour,
background): no picture of it is in the training of pocket CLIP, CLAP and AudioLDM, which `draw` feeds.
`crossing_split` holds out what is both seen and heard (kind, background, pitch), which is all that can cross
from a picture to a sound: lists, translators, towers and judges are drawn by both rules, with
`draw_crossing`, and scored on scenes that both hold out, with `draw_heldout`. The pocket models saw
four in five of the combinations that `crossing_split` holds out, each in its own medium alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

Split = Literal["train", "heldout"]
Pitch = Literal["low", "middle", "high"]
Medium = Literal["picture", "sound"]
# Each has random numbers of its own, so that two of them never share a scene.
Stream = Literal["lists", "crossing", "judges", "evaluation", "diffusion"]

_T = TypeVar("_T")

KINDS: tuple[str, ...] = (
    "bell", "rain", "siren", "bird", "clock", "drum", "dog", "cat",
    "frog", "cricket", "bee", "train", "helicopter", "wave", "fire", "thunder",
    "phone", "whistle", "guitar", "piano", "flute", "door", "typewriter", "horn",
)  # fmt: skip
COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
PITCHES: tuple[Pitch, ...] = get_args(Pitch)
BACKGROUNDS: tuple[str, ...] = ("meadow", "street", "night", "beach", "room", "snow")
MAX_COUNT = 4

# One combination in five is excluded from training, so that a held-out picture, or a held-out pair of picture
# and sound, is not one of training with other noise.
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
    """Return the one split in which this combination may be seen."""
    held_out = zlib.crc32(f"{kind}/{colour}/{background}".encode()) % _HELD_OUT_IN == 0
    return "heldout" if held_out else "train"


def crossing_split(kind: str, background: str, pitch: Pitch) -> Split:
    """Return the one split in which this combination may be both seen and heard.

    87 of 432 combinations are held out: 3 or 4 of each kind, 14 or 15 of each background, 29 of each pitch.
    Every two of the three are in training together, so a held-out scene asks for all three at once.
    """
    number = KINDS.index(kind) + 2 * BACKGROUNDS.index(background) + 4 * PITCHES.index(pitch)
    return "heldout" if number % _HELD_OUT_IN == 0 else "train"


def draw(seed: int, split: Split, index: int) -> Scene:
    """Return scene number `index` of a split of what is seen; `crossing_split` plays no part.

    Kinds are equally likely, and splits share no combination of kind, colour and background.
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    kind = _pick(rng, KINDS)
    while True:
        colour, background = _pick(rng, COLOURS), _pick(rng, BACKGROUNDS)
        if split_of(kind, colour, background) == split:
            break
    return Scene(
        kind=kind,
        count=int(rng.integers(1, MAX_COUNT + 1)),
        colour=colour,
        pitch=_pick(rng, PITCHES),
        background=background,
        seed=int(rng.integers(2**63)),
    )


def draw_crossing(stream: Stream, seed: int, split: Split, index: int) -> Scene:
    """Return scene number `index` of a split by both rules: of what is seen, and of what crosses.

    Args:
        stream: of the scenes; two streams share none.
        seed: of the scenes.
        split: that both `split_of` and `crossing_split` give the scene.
        index: from 0; kinds are equally likely.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{stream}/{split}".encode()), index])
    kind = _pick(rng, KINDS)
    while True:
        colour, background, pitch = _pick(rng, COLOURS), _pick(rng, BACKGROUNDS), _pick(rng, PITCHES)
        if {split_of(kind, colour, background), crossing_split(kind, background, pitch)} == {split}:
            break
    return Scene(
        kind=kind,
        count=int(rng.integers(1, MAX_COUNT + 1)),
        colour=colour,
        pitch=pitch,
        background=background,
        seed=int(rng.integers(2**63)),
    )


def draw_heldout(seed: int, index: int) -> Scene:
    """Return scene number `index` for evaluation: nothing that crosses was trained on its combinations."""
    return draw_crossing("evaluation", seed, "heldout", index)


def _pick(rng: np.random.Generator, choices: tuple[_T, ...]) -> _T:
    return choices[int(rng.integers(len(choices)))]
