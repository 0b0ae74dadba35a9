"""Pictures: drawn from the scene alone, telling what the caption tells, and nothing cheaper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.miniature import world
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene

SCENE = Scene(kind="bell", count=2, colour="red", pitch="low", background="meadow", seed=7)
SEEDS = range(12)


def changed(a: Scene, b: Scene) -> float:
    """Share of pixels that clearly differ."""
    difference = np.abs(picture(a, 160).astype(int) - picture(b, 160)).max(-1)
    return float((difference > 40).mean())


@pytest.mark.parametrize("size_px", [32, 160, 320, 1200])
def test_the_longer_side_is_the_size_asked_for(size_px: int) -> None:
    """Pictures are 1:1, 4:3 or 3:4; the shape is the scene's, not the size's."""
    shapes = {picture(replace(SCENE, seed=s), size_px).shape for s in SEEDS}
    short_px = size_px * 3 // 4
    assert {
        (size_px, size_px, 3),
        (short_px, size_px, 3),
        (size_px, short_px, 3),
    } == shapes


def test_the_same_scene_gives_the_same_bytes() -> None:
    """A row can be drawn again at any time."""
    drawn = picture(SCENE)
    assert drawn.dtype == np.uint8
    assert drawn.tobytes() == picture(replace(SCENE)).tobytes()
    assert drawn.tobytes() != picture(replace(SCENE, seed=8)).tobytes()


@pytest.mark.parametrize("kind", world.KINDS)
def test_every_kind_is_drawn_in_its_own_shape(kind: str) -> None:
    """With all else equal, one kind looks unlike any other."""
    scene = replace(SCENE, kind=kind)
    for other in world.KINDS:
        if other != kind:
            assert changed(scene, replace(scene, kind=other)) > 0.02, other


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("colour", world.COLOURS),
        ("background", world.BACKGROUNDS),
        ("count", (1, 2, 3, 4)),
        ("pitch", world.PITCHES),
    ],
)
def test_what_a_caption_tells_can_be_seen(attribute: str, values: tuple[object, ...]) -> None:
    """Two values of an attribute never look alike."""
    scenes = [replace(SCENE, **{attribute: value}) for value in values]
    for i, scene in enumerate(scenes):
        for other in scenes[:i]:
            assert changed(scene, other) > 0.02


def test_a_red_thing_is_red() -> None:
    """Channels are red-green-blue: painting the things red raises the first against the last."""
    warm = [picture(replace(SCENE, colour="red", seed=s)) for s in SEEDS]
    cold = [picture(replace(SCENE, colour="blue", seed=s)) for s in SEEDS]
    for red, blue in zip(warm, cold, strict=True):
        assert red[..., 0].mean() > blue[..., 0].mean()
        assert red[..., 2].mean() < blue[..., 2].mean()


def mean_colour(drawn: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(drawn.mean((0, 1)))


def pixels_8x8(drawn: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(cv2.resize(drawn, (8, 8), interpolation=cv2.INTER_AREA), float).ravel()


@pytest.mark.parametrize("feature", [mean_colour, pixels_8x8])
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_trivial_features_do_not_give_the_kind_away(
    feature: Callable[[NDArray[np.uint8]], NDArray[np.float64]], split: world.Split
) -> None:
    """Nearest class mean stays near chance (1 in 24), even among combinations that it was fitted on."""
    known, asked = drawn_of("train", 0, 1200), drawn_of(split, 1200, 1500)
    known_ND = np.array([feature(drawn) for _, drawn in known])
    kinds = np.array([kind for kind, _ in known])
    means = np.array([known_ND[kinds == kind].mean(0) for kind in world.KINDS])
    right = [
        world.KINDS[int(((feature(drawn) - means) ** 2).sum(1).argmin())] == kind for kind, drawn in asked
    ]
    assert np.mean(right) < 0.3


@cache
def drawn_of(split: world.Split, first: int, last: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return the kinds and pictures of some scenes, drawn once for all features."""
    scenes = [world.draw(1, split, index) for index in range(first, last)]
    return [(scene.kind, picture(scene, 96)) for scene in scenes]
