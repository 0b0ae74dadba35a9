"""The six backgrounds of pictures, randomized so that none is drawn twice the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.miniature.pictures_pen import Canvas, Colour, Pen, blend

Ground = Callable[[Canvas, Pen, np.random.Generator], None]


def _wash(canvas: Canvas, rng: np.random.Generator, top: Colour, bottom: Colour, rough: float) -> None:
    """Fill with a gradient whose patches differ by about `rough` levels."""
    import cv2

    share = np.linspace(0, 1, 5)[:, None, None]
    grid = np.array(top) * (1 - share) + np.array(bottom) * share
    grid = grid + rng.normal(0, rough, (5, 6, 1)) + rng.normal(0, rough * 0.4, (5, 6, 3))
    height, width = canvas.shape[:2]
    if height and width:
        small = np.clip(grid, 0, 255).astype(np.uint8)
        canvas[:] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _near(rng: np.random.Generator, colour: Colour, spread: float = 18) -> Colour:
    red, green, blue = (int(v) for v in np.clip(rng.normal(colour, spread), 0, 255))
    return red, green, blue


def _split(canvas: Canvas, y: float) -> tuple[Canvas, Canvas]:
    row = round(canvas.shape[0] * y)
    return canvas[:row], canvas[row:]


def _meadow(canvas: Canvas, pen: Pen, rng: np.random.Generator) -> None:
    horizon = rng.uniform(0.1, 0.6)
    sky, grass = _split(canvas, horizon)
    _wash(sky, rng, _near(rng, (120, 175, 230)), _near(rng, (200, 220, 235)), 10)
    green = _near(rng, (90, 150, 60), 22)
    _wash(grass, rng, green, _near(rng, (70, 130, 50), 22), 14)
    for shade in ((40, 90, 30), (150, 190, 90)):
        blades = rng.uniform((0, horizon), (1, 1), (22, 2))
        lean = rng.uniform(-0.02, 0.02, 22)
        paths = [[(x, y), (x + d, y - 0.05)] for (x, y), d in zip(blades, lean, strict=True)]
        pen.lines(paths, blend(green, shade, 0.6), 0.006)
    petal = _near(rng, (230, 190, 210), 50)
    for x, y in rng.uniform((0, horizon), (1, 1), (int(rng.integers(3, 12)), 2)):
        pen.oval((x, y), (0.011, 0.011), petal)


def _street(canvas: Canvas, pen: Pen, rng: np.random.Generator) -> None:
    kerb = rng.uniform(0.3, 0.65)
    houses, road = _split(canvas, kerb)
    _wash(houses, rng, _near(rng, (185, 195, 205)), _near(rng, (205, 205, 200)), 6)
    grey = int(rng.integers(70, 130))
    _wash(road, rng, (grey, grey, grey + 6), (grey - 20, grey - 20, grey - 14), 8)
    left = -rng.uniform(0, 0.2)
    while left < 1:
        right, top = left + rng.uniform(0.18, 0.4), rng.uniform(-0.1, kerb * 0.6)
        pen.box((left, top), (right, kerb), wall := _near(rng, (165, 130, 115), 35))
        window = blend(wall, (225, 225, 190) if rng.random() < 0.4 else (50, 60, 80), 0.7)
        for y in np.arange(max(top, 0) + 0.05, kerb - 0.1, 0.13):
            for x in (left + 0.05, right - 0.11):
                pen.box((x, y), (x + 0.06, y + 0.07), window)
        left = right + rng.uniform(0, 0.06)
    lane = (kerb + 1) / 2 + rng.uniform(-0.06, 0.06)
    dashes = [[(x, lane), (x + 0.12, lane)] for x in np.arange(rng.uniform(-0.2, 0), 1, 0.24)]
    pen.lines(dashes, _near(rng, (225, 220, 180)), 0.018)


def _night(canvas: Canvas, pen: Pen, rng: np.random.Generator) -> None:
    _wash(canvas, rng, _near(rng, (16, 18, 48), 9), _near(rng, (40, 38, 84), 12), 5)
    for x, y in rng.uniform((0, 0), (1, 0.9), (int(rng.integers(12, 36)), 2)):
        pen.oval((x, y), (r := rng.uniform(0.003, 0.007), r), _near(rng, (225, 225, 200), 20))
    if rng.random() < 0.6:
        x, y, r = rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.3), rng.uniform(0.04, 0.08)
        pen.oval((x, y), (r, r), (236, 232, 205))
        pen.oval((x + r * 0.45, y - r * 0.1), (r * 0.85, r * 0.85), (30, 30, 66))
    hills = np.cumsum(rng.normal(0, 0.05, 8)) + rng.uniform(0.7, 0.95)
    ridge = list(zip(np.linspace(0, 1, 8), hills, strict=True))
    pen.shape([(0, 1.1), *ridge, (1, 1.1)], _near(rng, (14, 18, 28), 6))


def _beach(canvas: Canvas, pen: Pen, rng: np.random.Generator) -> None:
    horizon = rng.uniform(0.08, 0.35)
    shore = horizon + rng.uniform(0.12, 0.3)
    sky, below = _split(canvas, horizon)
    _wash(sky, rng, _near(rng, (140, 195, 235)), _near(rng, (225, 230, 225)), 8)
    _wash(below, rng, _near(rng, (228, 205, 150), 14), _near(rng, (205, 178, 125), 14), 9)
    sea = _near(rng, (50, 140, 175), 20)
    edge = [(x, shore + rng.normal(0, 0.015)) for x in np.linspace(0, 1, 9)]
    pen.shape([(0, horizon), *edge, (1, horizon)], sea)
    pen.line(edge, (240, 245, 245), 0.02)
    for x, y in rng.uniform((0, shore + 0.04), (1, 1), (26, 2)):
        pen.oval((x, y), (0.006, 0.004), _near(rng, (165, 140, 100), 25))


def _room(canvas: Canvas, pen: Pen, rng: np.random.Generator) -> None:
    skirting = rng.uniform(0.55, 0.85)
    wall, floor = _split(canvas, skirting)
    paint = _near(rng, (205, 185, 170), 32)
    _wash(wall, rng, paint, blend(paint, (255, 255, 255), 0.15), 6)
    wood = _near(rng, (150, 105, 70), 20)
    _wash(floor, rng, wood, blend(wood, (0, 0, 0), 0.2), 8)
    if rng.random() < 0.6:
        step = rng.uniform(0.07, 0.16)
        stripes = [[(x, 0), (x, skirting)] for x in np.arange(rng.uniform(0, step), 1, step)]
        pen.lines(stripes, blend(paint, _near(rng, (150, 120, 120), 45), 0.5), step * 0.3)
    x, y = rng.uniform(0.0, 0.8), rng.uniform(0.02, 0.3)
    pen.box((x, y), (x + rng.uniform(0.12, 0.26), y + rng.uniform(0.1, 0.24)), _near(rng, (110, 85, 70)))
    pen.lines([[(0, skirting), (1, skirting)]], _near(rng, (235, 230, 220)), 0.022)
    boards = [[(x, 1.0), (0.5 + (x - 0.5) * 0.7, skirting)] for x in np.linspace(-0.2, 1.2, 9)]
    pen.lines(boards, blend(wood, (0, 0, 0), 0.35), 0.007)


def _snow(canvas: Canvas, pen: Pen, rng: np.random.Generator) -> None:
    _wash(canvas, rng, _near(rng, (175, 190, 210), 14), _near(rng, (236, 240, 246), 7), 7)
    for y in np.sort(rng.uniform(0.35, 0.95, 3)):
        mound = [(x, y + rng.normal(0, 0.035)) for x in np.linspace(0, 1, 6)]
        pen.shape([(0, 1.1), *mound, (1, 1.1)], _near(rng, (228, 234, 243), 9))
    for x in rng.uniform(0, 1, int(rng.integers(0, 4))):
        top, size = rng.uniform(0.1, 0.5), rng.uniform(0.04, 0.09)
        pen.shape(
            [(x, top), (x + size, top + size * 2.6), (x - size, top + size * 2.6)], _near(rng, (60, 95, 80))
        )
    for x, y in rng.uniform(0, 1, (30, 2)):
        pen.oval((x, y), (r := rng.uniform(0.004, 0.011), r), (250, 252, 255))


GROUNDS: dict[str, Ground] = {
    "meadow": _meadow,
    "street": _street,
    "night": _night,
    "beach": _beach,
    "room": _room,
    "snow": _snow,
}


def clutter(pen: Pen, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a meaningless shape of a random colour: a disc, a ring, a bar, a triangle or a star."""
    colour = _near(rng, (128, 128, 128), 70)
    corners = int(rng.integers(0, 6))
    turn = rng.uniform(0, 2 * np.pi)
    if corners == 0:
        pen.oval((x, y), (size, size * rng.uniform(0.5, 1)), colour, turn)
    elif corners == 1:
        angles = np.linspace(0, 2 * np.pi, 14) + turn
        pen.line(np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], 1), colour, size / 3)
    elif corners == 2:
        pen.oval((x, y), (size * 1.4, size * 0.25), colour, turn)
    else:
        angles = np.linspace(0, 2 * np.pi, corners * 2, endpoint=False) + turn
        radii = size * np.where(np.arange(corners * 2) % 2, rng.uniform(0.4, 1.0), 1.0)
        pen.shape(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1), colour)
