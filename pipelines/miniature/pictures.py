"""Pictures of the miniature world, drawn from their scene.

Kind, colour and ground are what a caption tells. Everything else (places, angles, mirroring, outlines,
light, noise, clutter before and behind) is drawn at random from the scene's own seed, so that neither
the mean colour nor a picture of 8x8 pixels gives the kind away.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pipelines.miniature.pictures_grounds import GROUNDS, clutter
from pipelines.miniature.pictures_pen import Canvas, Colour, Palette, Pen, blend
from pipelines.miniature.pictures_things import THINGS
from pipelines.miniature.world import Scene

_ASPECTS = (1.0, 4 / 3, 3 / 4)  # width / height
# Half the span of a thing, as a share of the shorter side.
_HALF_SPAN = {"low": 0.25, "middle": 0.195, "high": 0.15}
_CROWDING = (1.1, 1.0, 0.92, 0.85)  # by count: four large things would fill the picture
_COLOURS: dict[str, Colour] = {
    "red": (205, 40, 40),
    "orange": (240, 135, 30),
    "yellow": (242, 215, 50),
    "green": (55, 155, 60),
    "blue": (45, 90, 210),
    "purple": (140, 60, 170),
    "white": (240, 240, 236),
    "black": (40, 38, 42),
}


def picture(scene: Scene, size_px: int = 320) -> Canvas:
    """Draw a scene.

    Args:
        scene: what to draw; the same scene gives the same picture.
        size_px: the longer side. The shape (1:1, 4:3 or 3:4) is the scene's.

    Returns:
        uint8 `[H, W, 3]`, red-green-blue.
    """
    rng = scene.rng("picture")
    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    width, height = round(size_px * min(1, aspect)), round(size_px * min(1, 1 / aspect))
    canvas: Canvas = np.empty((height, width, 3), np.uint8)
    whole = Pen(canvas, np.diag([float(width), float(height)]), (0.0, 0.0))
    GROUNDS[scene.background](canvas, whole, rng)
    flat = Pen(canvas, np.eye(2) * min(width, height), (0.0, 0.0))
    across, down = width / min(width, height), height / min(width, height)
    for _ in range(int(rng.integers(2, 7))):
        x, y = rng.uniform((0, 0), (across, down))
        clutter(flat, rng, x, y, rng.uniform(0.02, 0.08))
    _draw_things(scene, canvas, flat, rng, (across, down))
    _add_light_and_grain(canvas, rng)
    return canvas


def _draw_things(
    scene: Scene,
    canvas: Canvas,
    flat: Pen,
    rng: np.random.Generator,
    extent: tuple[float, float],
) -> None:
    short = min(canvas.shape[:2])
    half = _HALF_SPAN[scene.pitch] * _CROWDING[scene.count - 1]
    outlined = rng.random() < 0.75
    places = _place_things(scene.count, half, extent, rng)
    for x, y in places:
        palette = _make_palette(scene.colour, rng)
        size = half * rng.uniform(0.88, 1.12)
        turn = rng.uniform(-0.4, 0.4)
        turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        squeeze = np.diag([rng.uniform(0.88, 1.12) * rng.choice((-1, 1)), 1.0])
        matrix = turned @ squeeze * (size * short)
        pen = Pen(canvas, matrix, (x * short, y * short), palette.ink if outlined else None)
        THINGS[scene.kind](pen, palette)
    if rng.random() < 0.35:
        # A shape in front: its centre on the last thing's rim hides at most about a fifth of it.
        angle = rng.uniform(0, 2 * np.pi)
        x, y = places[-1]
        x, y = x + half * 0.9 * math.cos(angle), y + half * 0.9 * math.sin(angle)
        clutter(flat, rng, x, y, half * rng.uniform(0.25, 0.5))


def _place_things(
    count: int, half: float, extent: tuple[float, float], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return centres inside the picture, each the farthest of eight tries from those before it."""
    margin = half * 1.02
    low, high = (margin, margin), (extent[0] - margin, extent[1] - margin)
    places: list[tuple[float, float]] = []
    for _ in range(count):
        tries = rng.uniform(low, high, (8 if places else 1, 2))
        apart = [min((math.dist(t, p) for p in places), default=0.0) for t in tries]
        x, y = tries[int(np.argmax(apart))]
        places.append((float(x), float(y)))
    return places


def _make_palette(name: str, rng: np.random.Generator) -> Palette:
    red, green, blue = (int(v) for v in np.clip(rng.normal(_COLOURS[name], 11), 0, 255))
    main = (red, green, blue)
    black, white = (0, 0, 0), (255, 255, 255)
    return Palette(
        main=main,
        dark=blend(main, white, 0.28) if name == "black" else blend(main, black, 0.25),
        light=blend(main, (150, 150, 150), 0.4) if name == "white" else blend(main, white, 0.45),
        other=blend((120, 95, 75), (130, 130, 135), float(rng.random())),
        ink=(165, 165, 170) if name == "black" else (28, 26, 30),
        paper=(245, 243, 235),
    )


@lru_cache(maxsize=1)
def _make_grain() -> Canvas:
    # One tile of noise, used at random offsets: drawing it anew would cost more than the picture.
    tile = np.random.default_rng(0).normal(128, 32, (1024, 1024, 3))
    return np.clip(tile, 0, 255).astype(np.uint8)


def _add_light_and_grain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put the canvas under uneven light of some colour, blur it a little, add grain."""
    import cv2

    height, width = canvas.shape[:2]
    light = rng.uniform(0.72, 1.2) * rng.uniform(0.8, 1.2, (2, 2, 1)) * rng.uniform(0.93, 1.07, 3)
    lit = cv2.resize(np.clip(light * 128, 0, 255).astype(np.uint8), (width, height))
    cv2.multiply(canvas, lit, canvas, 1 / 128)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.4, 1.1) * max(height, width) / 320
        cv2.GaussianBlur(canvas, (0, 0), sigma, canvas)
    strength = rng.uniform(0.05, 0.4)  # of 32 levels
    tile = _make_grain()
    if max(height, width) > len(tile):
        tile = np.tile(tile, (height // len(tile) + 1, width // len(tile) + 1, 1))
    y, x = (int(v) for v in rng.integers(0, np.subtract(tile.shape[:2], (height, width)) + 1))
    grain = tile[y : y + height, x : x + width]
    cv2.addWeighted(canvas, 1.0, grain, strength, -128 * strength, canvas)
