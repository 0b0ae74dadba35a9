"""How each kind of thing is drawn: a few shapes between -1 and 1, y down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.miniature.pictures_pen import Palette, Pen, arc

Drawing = Callable[[Pen, Palette], None]


def _bell(pen: Pen, c: Palette) -> None:
    pen.line(arc((0, -0.82), (0.16, 0.16), 0, 1), c.other, 0.09)
    pen.oval((0, 0.78), (0.2, 0.18), c.other)
    left = [(-0.28, -0.62), (-0.5, -0.2), (-0.58, 0.3), (-0.9, 0.66)]
    pen.shape([*left, *((-x, y) for x, y in reversed(left))], c.main)
    pen.box((-0.92, 0.5), (0.92, 0.72), c.dark)
    pen.line([(-0.22, -0.4), (-0.34, 0.3)], c.light, 0.1)


def _cloud(pen: Pen, c: Palette) -> None:
    lobes = (
        arc((-0.62, -0.3), (0.36, 0.28), 0.25, 0.72),
        arc((-0.08, -0.56), (0.5, 0.4), 0.52, 0.94),
        arc((0.58, -0.34), (0.42, 0.32), 0.74, 1.25),
    )
    pen.shape(np.concatenate(lobes), c.main)
    pen.line([(-0.6, -0.14), (0.6, -0.14)], c.dark, 0.1)
    pen.line(arc((-0.08, -0.5), (0.32, 0.24), 0.55, 0.8), c.light, 0.09)


def _rain(pen: Pen, c: Palette) -> None:
    drops = [(x, y) for y in (0.18, 0.62) for x in (-0.68, -0.23, 0.22, 0.67)]
    pen.lines([[(x + 0.08, y - 0.06), (x - 0.06, y + 0.28)] for x, y in drops], c.ink, 0.15)
    pen.lines([[(x + 0.08, y - 0.06), (x - 0.06, y + 0.28)] for x, y in drops], c.light, 0.09)
    _cloud(pen, c)


def _thunder(pen: Pen, c: Palette) -> None:
    bolt = [(0.16, -0.2), (-0.34, 0.42), (-0.02, 0.42), (-0.26, 1.0), (0.42, 0.24), (0.1, 0.24)]
    pen.shape([*bolt, (0.4, -0.2)], (250, 226, 90))
    _cloud(pen, c)


def _siren(pen: Pen, c: Palette) -> None:
    rays = [((x * 0.68, y * 0.68 + 0.15), (x, y + 0.15)) for x, y in arc((0, 0), (1.0, 1.0), 0.53, 0.97, 7)]
    pen.lines(rays, c.light, 0.11)
    pen.shape([*arc((0, 0.1), (0.5, 0.6), 0.5, 1.0), (0.5, 0.5), (-0.5, 0.5)], c.main)
    pen.shape([(-0.12, 0.5), (-0.12, 0.0), (0.12, 0.0), (0.12, 0.5)], c.paper)
    pen.box((-0.72, 0.5), (0.72, 0.86), c.ink)


def _bird(pen: Pen, c: Palette) -> None:
    pen.lines([[(-0.1, 0.4), (-0.14, 0.92)], [(0.16, 0.4), (0.14, 0.92)]], c.other, 0.07)
    pen.shape([(-0.42, -0.02), (-1.0, -0.34), (-0.94, 0.04), (-0.44, 0.28)], c.dark)
    pen.shape([(0.82, -0.5), (1.12, -0.34), (0.8, -0.26)], (240, 170, 50))
    pen.oval((0.0, 0.12), (0.6, 0.42), c.main, -0.35)
    pen.oval((0.56, -0.42), (0.32, 0.3), c.main)
    pen.shape([(-0.5, 0.02), (0.22, -0.14), (0.1, 0.3), (-0.3, 0.34)], c.dark)
    pen.oval((0.64, -0.48), (0.07, 0.07), c.ink)


def _clock(pen: Pen, c: Palette) -> None:
    pen.lines([[(-0.4, 0.6), (-0.62, 0.98)], [(0.4, 0.6), (0.62, 0.98)]], c.other, 0.14)
    pen.oval((-0.55, -0.75), (0.28, 0.22), c.dark, -0.7)
    pen.oval((0.55, -0.75), (0.28, 0.22), c.dark, 0.7)
    pen.oval((0, 0), (0.86, 0.86), c.main)
    pen.oval((0, 0), (0.62, 0.62), c.paper)
    ticks = arc((0, 0), (1, 1), 0, 1, 13)[:12]
    pen.lines([(0.5 * t, 0.6 * t) for t in ticks], (60, 60, 60), 0.06)
    pen.lines([[(0, 0), (0.0, -0.46)], [(0, 0), (0.3, 0.16)]], (30, 30, 30), 0.1)


def _drum(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.84, -0.3), *arc((0, 0.5), (0.84, 0.3), 0.5, 0.0), (0.84, -0.3)], c.main)
    zigzag = [(-0.8 + 0.2 * i, -0.02 + (0.68 if i % 2 else 0.0) - 0.02 * abs(i - 4)) for i in range(9)]
    pen.line(zigzag, c.light, 0.07)
    pen.oval((0, -0.3), (0.84, 0.3), c.paper)
    sticks = [[(-0.95, -1.0), (-0.1, -0.36)], [(0.95, -1.0), (0.1, -0.36)]]
    pen.lines(sticks, c.ink, 0.14)
    pen.lines(sticks, c.other, 0.09)


def _dog(pen: Pen, c: Palette) -> None:
    pen.line([(-0.66, 0.02), (-0.9, -0.3), (-0.86, -0.56)], c.main, 0.14)
    for x in (-0.58, -0.36, 0.18, 0.4):
        pen.box((x - 0.1, 0.3), (x + 0.1, 0.92), c.dark)
    pen.oval((-0.1, 0.16), (0.66, 0.32), c.main)
    pen.shape([(0.1, 0.1), (0.3, -0.4), (0.7, -0.2), (0.5, 0.3)], c.main)
    pen.oval((0.82, -0.34), (0.3, 0.17), c.light)
    pen.oval((0.54, -0.44), (0.34, 0.3), c.main)
    pen.oval((0.32, -0.34), (0.14, 0.36), c.dark, 0.2)
    pen.oval((1.05, -0.4), (0.09, 0.09), c.ink)
    pen.oval((0.64, -0.52), (0.06, 0.06), c.ink)
    pen.box((0.14, -0.08), (0.6, 0.04), c.other)


def _cat(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.86, -0.98), (-0.16, -0.6), (-0.78, -0.1)], c.main)
    pen.shape([(0.86, -0.98), (0.16, -0.6), (0.78, -0.1)], c.main)
    pen.shape([(-0.72, -0.76), (-0.36, -0.54), (-0.68, -0.32)], (230, 150, 160))
    pen.shape([(0.72, -0.76), (0.36, -0.54), (0.68, -0.32)], (230, 150, 160))
    pen.oval((0, 0.1), (0.84, 0.72), c.main)
    pen.oval((0, 0.42), (0.4, 0.28), c.light)
    for side in (-1, 1):
        pen.oval((0.36 * side, -0.06), (0.15, 0.18), (190, 220, 90))
        pen.oval((0.36 * side, -0.06), (0.05, 0.16), (20, 20, 20))
    pen.shape([(-0.12, 0.24), (0.12, 0.24), (0, 0.4)], (220, 110, 120))
    whiskers = [[(0.24 * s, 0.44), (1.08 * s, y)] for s in (-1, 1) for y in (0.26, 0.46, 0.66)]
    pen.lines(whiskers, c.ink, 0.05)


def _frog(pen: Pen, c: Palette) -> None:
    for side in (-1, 1):
        pen.oval((0.72 * side, 0.42), (0.42, 0.26), c.dark, -0.6 * side)
        pen.oval((0.78 * side, 0.82), (0.34, 0.1), c.dark)
    pen.oval((0, 0.34), (0.72, 0.56), c.main)
    pen.oval((0, 0.58), (0.42, 0.3), c.light)
    for side in (-1, 1):
        pen.oval((0.42 * side, -0.42), (0.3, 0.3), c.main)
        pen.oval((0.42 * side, -0.44), (0.18, 0.18), (245, 245, 235))
        pen.oval((0.42 * side, -0.44), (0.09, 0.1), (20, 20, 20))
    pen.oval((0, -0.06), (0.76, 0.34), c.main)
    pen.line(arc((0, -0.08), (0.54, 0.24), 0.03, 0.47), c.ink, 0.07)


def _cricket(pen: Pen, c: Palette) -> None:
    feelers = [[(0.76, -0.1), (0.9, -0.6), (0.56, -0.98)], [(0.8, -0.1), (1.1, -0.5), (1.0, -0.9)]]
    pen.lines(feelers, c.ink, 0.05)
    legs = [[(x, 0.2), (x + 0.1, 0.5), (x + 0.04, 0.8)] for x in (0.2, 0.5)]
    pen.lines(legs, c.ink, 0.07)
    pen.oval((-0.06, 0.08), (0.84, 0.2), c.main, 0.12)
    pen.oval((0.76, 0.08), (0.24, 0.22), c.dark)
    pen.oval((-0.26, -0.04), (0.66, 0.12), c.light, 0.2)
    pen.line([(0.06, 0.18), (-0.5, -0.62), (-0.74, 0.8), (-0.96, 0.8)], c.ink, 0.17)
    pen.line([(0.06, 0.18), (-0.5, -0.62), (-0.74, 0.8), (-0.96, 0.8)], c.dark, 0.11)
    pen.oval((0.84, 0.02), (0.06, 0.06), c.ink)


def _bee(pen: Pen, c: Palette) -> None:
    pen.lines([[(0.66, -0.1), (0.84, -0.5)], [(0.72, -0.06), (1.0, -0.4)]], c.ink, 0.06)
    pen.shape([(-0.76, 0.1), (-1.06, 0.22), (-0.74, 0.32)], c.ink)
    pen.oval((-0.3, -0.46), (0.26, 0.46), (225, 235, 245), -0.5)
    pen.oval((0.16, -0.5), (0.26, 0.46), (225, 235, 245), 0.3)
    pen.oval((-0.1, 0.2), (0.72, 0.44), c.main)
    for x, half in ((-0.5, 0.34), (-0.14, 0.42), (0.22, 0.38)):
        pen.shape(
            [(x - 0.08, 0.2 - half), (x + 0.08, 0.2 - half), (x + 0.08, 0.2 + half), (x - 0.08, 0.2 + half)],
            c.ink,
        )
    pen.oval((0.62, 0.14), (0.28, 0.28), c.dark)
    pen.oval((0.72, 0.08), (0.08, 0.09), c.paper)


def _train(pen: Pen, c: Palette) -> None:
    pen.shape([(0.36, -0.2), (0.3, -0.72), (0.7, -0.72), (0.62, -0.2)], c.ink)
    pen.box((-0.96, -0.8), (-0.2, 0.4), c.dark)
    pen.box((-1.04, -0.94), (-0.12, -0.78), c.other)
    pen.box((-0.78, -0.58), (-0.4, -0.18), (205, 228, 245))
    pen.box((-0.24, -0.26), (0.9, 0.4), c.main)
    pen.box((0.9, -0.16), (1.0, 0.3), c.light)
    pen.box((-1.0, 0.36), (1.0, 0.52), c.other)
    for x, size in ((-0.62, 0.32), (0.14, 0.24), (0.68, 0.24)):
        pen.oval((x, 0.88 - size), (size, size), c.ink)
        pen.oval((x, 0.88 - size), (size * 0.4, size * 0.4), c.light)


def _helicopter(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.2, -0.1), (-1.06, -0.2), (-1.06, -0.06), (-0.2, 0.26)], c.dark)
    pen.lines([[(-1.06, -0.42), (-1.06, 0.18)], [(-1.24, -0.12), (-0.88, -0.12)]], c.ink, 0.08)
    skids = [[(0.0, 0.4), (-0.08, 0.74)], [(0.5, 0.4), (0.58, 0.74)], [(-0.3, 0.76), (0.86, 0.76)]]
    pen.lines(skids, c.ink, 0.09)
    pen.oval((0.26, 0.12), (0.62, 0.42), c.main)
    pen.shape([*arc((0.3, 0.1), (0.5, 0.32), 0.8, 1.02), (0.42, 0.1)], (205, 228, 245))
    pen.box((0.2, -0.52), (0.32, -0.28), c.other)
    pen.line([(-0.74, -0.56), (1.24, -0.56)], c.ink, 0.11)


def _wave(pen: Pen, c: Palette) -> None:
    back = [(-1.1, 0.9), (-1.1, 0.34), (-0.82, 0.1), (-0.6, -0.3), (-0.3, -0.68)]
    crest = [(0.1, -0.88), (0.5, -0.8), (0.82, -0.48), (0.9, -0.08), (0.78, 0.06)]
    hollow = [(0.6, -0.24), (0.3, -0.34), (0.04, -0.12), (0.06, 0.22), (0.4, 0.44), (1.1, 0.4)]
    pen.shape([*back, *crest, *hollow, (1.1, 0.9)], c.main)
    pen.lines([[back[4], *crest]], c.paper, 0.16)
    streaks = [[(-0.9, 0.5), (-0.5, 0.0), (-0.16, -0.4)], [(-0.6, 0.62), (-0.3, 0.3), (-0.14, 0.0)]]
    pen.lines(streaks, c.light, 0.09)
    pen.line([(-1.0, 0.76), (-0.5, 0.64), (0.0, 0.74), (0.5, 0.64), (1.0, 0.74)], c.dark, 0.1)
    for x, y in ((0.98, -0.3), (1.06, 0.02), (0.9, 0.2)):
        pen.oval((x, y), (0.1, 0.1), c.paper)


def _fire(pen: Pen, c: Palette) -> None:
    for turn in (-0.28, 0.28):
        pen.oval((0, 0.78), (0.86, 0.13), (120, 80, 50), turn)
    left = [(0.0, -1.0), (-0.2, -0.46), (-0.46, -0.6), (-0.66, 0.1), (-0.52, 0.56), (0.0, 0.78)]
    right = [(0.52, 0.56), (0.68, 0.08), (0.46, -0.36), (0.3, -0.1)]
    pen.shape([*left, *right], c.main)
    pen.shape([(-0.02, -0.4), (-0.36, 0.2), (-0.26, 0.58), (0.26, 0.58), (0.34, 0.24)], c.light)
    pen.shape([(0.0, 0.08), (-0.16, 0.44), (0.0, 0.64), (0.16, 0.44)], (252, 240, 190))


def _phone(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.5, -0.3), (0.5, -0.3), (0.9, 0.8), (-0.9, 0.8)], c.main)
    pen.shape([*arc((0, -0.16), (1.0, 0.62), 0.5, 1.0), *arc((0, -0.16), (0.62, 0.32), 1.0, 0.5)], c.dark)
    pen.box((-1.06, -0.22), (-0.54, 0.06), c.dark)
    pen.box((0.54, -0.22), (1.06, 0.06), c.dark)
    pen.oval((0, 0.26), (0.4, 0.4), c.paper)
    for x, y in arc((0, 0.26), (0.26, 0.26), 0.0, 0.85, 7):
        pen.oval((float(x), float(y)), (0.06, 0.06), (40, 40, 40))


def _whistle(pen: Pen, c: Palette) -> None:
    pen.line(arc((-0.86, -0.2), (0.2, 0.2), 0, 1), c.other, 0.08)
    pen.box((-0.3, -0.5), (1.06, -0.06), c.main)
    pen.oval((-0.24, 0.12), (0.62, 0.62), c.main)
    pen.shape([(-0.3, -0.47), (1.04, -0.47), (1.04, -0.1), (0.3, -0.08), (-0.24, 0.0)], c.main)
    pen.shape([(0.22, -0.54), (0.5, -0.54), (0.34, -0.24)], (30, 30, 30))
    pen.oval((-0.24, 0.14), (0.3, 0.3), c.dark)
    pen.box((0.82, -0.5), (1.06, -0.06), c.light)


def _guitar(pen: Pen, c: Palette) -> None:
    pen.box((-0.09, -0.86), (0.09, 0.1), c.other)
    pen.box((-0.16, -1.08), (0.16, -0.8), c.ink)
    pen.oval((0, 0.08), (0.42, 0.34), c.main)
    pen.oval((0, 0.58), (0.56, 0.46), c.main)
    pen.shape([*arc((0, 0.08), (0.34, 0.28), 0.0, 1.0)], c.main)
    pen.oval((0, 0.28), (0.18, 0.18), (30, 25, 20))
    pen.box((-0.24, 0.7), (0.24, 0.8), c.dark)
    pen.lines([[(x, -0.84), (x, 0.74)] for x in (-0.04, 0.04)], c.paper, 0.03)


def _piano(pen: Pen, c: Palette) -> None:
    pen.box((-0.84, 0.3), (-0.64, 0.96), c.dark)
    pen.box((0.64, 0.3), (0.84, 0.96), c.dark)
    pen.box((-0.94, -0.8), (0.94, 0.4), c.main)
    pen.box((-1.02, -0.92), (1.02, -0.76), c.dark)
    pen.box((-0.5, -0.66), (0.5, -0.22), c.light)
    pen.box((-1.06, 0.0), (1.06, 0.4), (248, 246, 238))
    pen.lines([[(x, 0.02), (x, 0.38)] for x in np.linspace(-0.8, 0.8, 7)], (60, 60, 60), 0.04)
    pen.lines([[(x, 0.04), (x, 0.2)] for x in np.linspace(-0.8, 0.8, 7)], (20, 20, 20), 0.13)


def _flute(pen: Pen, c: Palette) -> None:
    pen.box((-1.16, -0.13), (1.16, 0.13), c.main)
    for x in (-0.52, 0.96):
        pen.box((x - 0.06, -0.18), (x + 0.06, 0.18), c.dark)
    pen.oval((-0.84, -0.08), (0.2, 0.15), c.light)
    for x in (-0.2, 0.04, 0.28, 0.52, 0.76):
        pen.oval((x, -0.02), (0.09, 0.09), (30, 30, 30))


def _door(pen: Pen, c: Palette) -> None:
    pen.box((-0.68, -1.06), (0.68, 1.0), c.other)
    pen.box((-0.52, -0.92), (0.52, 1.0), c.main)
    for top, bottom in ((-0.78, -0.02), (0.16, 0.84)):
        for left in (-0.4, 0.05):
            pen.box((left, top), (left + 0.34, bottom), c.dark)
    pen.oval((0.4, 0.08), (0.1, 0.1), (235, 200, 80))


def _typewriter(pen: Pen, c: Palette) -> None:
    pen.box((-0.5, -1.0), (0.5, -0.2), (248, 247, 240))
    pen.lines([[(-0.36, y), (0.36, y)] for y in (-0.82, -0.64)], (110, 110, 110), 0.05)
    pen.box((-1.0, -0.44), (1.0, -0.2), c.ink)
    pen.shape([(-0.74, -0.22), (0.74, -0.22), (1.0, 0.8), (-1.0, 0.8)], c.main)
    pen.shape([(-0.66, 0.12), (0.66, 0.12), (0.84, 0.7), (-0.84, 0.7)], c.dark)
    for y, half in ((0.26, 0.5), (0.54, 0.64)):
        for x in np.linspace(-half, half, 5):
            pen.oval((float(x), y), (0.1, 0.09), c.paper)


def _horn(pen: Pen, c: Palette) -> None:
    pen.line(arc((-0.06, 0.16), (0.5, 0.34), 0, 1, 16), c.ink, 0.2)
    pen.line(arc((-0.06, 0.16), (0.5, 0.34), 0, 1, 16), c.dark, 0.13)
    tube = [(-1.0, -0.24), (0.1, -0.26), (0.62, -0.4), (1.0, -0.84)]
    pen.shape([*tube, *((x, -0.36 - y) for x, y in reversed(tube))], c.main)
    pen.oval((1.0, -0.18), (0.14, 0.66), c.light)
    pen.box((-1.14, -0.3), (-0.96, -0.06), c.other)
    for x in (-0.3, -0.08, 0.14):
        pen.box((x - 0.06, -0.56), (x + 0.06, -0.2), c.other)


THINGS: dict[str, Drawing] = {
    "bell": _bell, "rain": _rain, "siren": _siren, "bird": _bird, "clock": _clock, "drum": _drum,
    "dog": _dog, "cat": _cat, "frog": _frog, "cricket": _cricket, "bee": _bee, "train": _train,
    "helicopter": _helicopter, "wave": _wave, "fire": _fire, "thunder": _thunder,
    "phone": _phone, "whistle": _whistle, "guitar": _guitar, "piano": _piano, "flute": _flute,
    "door": _door, "typewriter": _typewriter, "horn": _horn,
}  # fmt: skip
