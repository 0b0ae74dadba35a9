"""A pen that draws shapes given in a thing's own coordinates, wherever the thing stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]  # red, green, blue
Points = Sequence[tuple[float, float]] | NDArray[np.float64]
Canvas = NDArray[np.uint8]  # [H, W, 3]

# OpenCV takes fixed-point coordinates: 4 fraction bits place an edge to 1/16 px, so that a thing looks the
# same at any size of the canvas.
_SHIFT = 4
_ROUND = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 24, endpoint=False)), np.sin(t)], axis=1)


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """Return the colour at `share` of the way from `a` to `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one thing.

    Attributes:
        main: the colour that the caption names.
        dark: a darker shade of it (of black: a lighter one, so that parts stay apart).
        light: a lighter tint of it (of white: a greyer one).
        other: a muted colour for parts that have one of their own (legs, wood, metal).
        ink: for outlines, eyes and other small lines.
        paper: for keys, faces and other pale parts.
    """

    main: Colour
    dark: Colour
    light: Colour
    other: Colour
    ink: Colour
    paper: Colour


class Pen:
    """Draws on a canvas through a 2x2 matrix and an offset; a thing spans about -1 to 1, y down."""

    def __init__(
        self,
        canvas: Canvas,
        matrix: NDArray[np.float64],
        offset: tuple[float, float],
        outline: Colour | None = None,
        outline_width: float = 0.05,
    ) -> None:
        self.canvas = canvas
        self._matrix = matrix.T * (1 << _SHIFT)
        self._offset = np.asarray(offset) * (1 << _SHIFT)
        self._px = math.sqrt(abs(float(np.linalg.det(matrix))))  # pixels that one unit is wide
        self._outline = outline
        self._outline_width = outline_width

    def _placed(self, points: Points) -> NDArray[np.int32]:
        placed: NDArray[np.int32] = np.rint(np.asarray(points) @ self._matrix + self._offset).astype(np.int32)
        return placed

    def shape(self, points: Points, colour: Colour) -> None:
        """Fill a polygon and draw its outline."""
        import cv2

        placed = [self._placed(points)]
        cv2.fillPoly(self.canvas, placed, colour, cv2.LINE_AA, _SHIFT)
        if self._outline is not None:
            width = max(1, round(self._px * self._outline_width))
            cv2.polylines(self.canvas, placed, True, self._outline, width, cv2.LINE_AA, _SHIFT)

    def oval(
        self,
        at: tuple[float, float],
        half: tuple[float, float],
        colour: Colour,
        turn: float = 0.0,
    ) -> None:
        """Fill an ellipse with its centre `at` and two half axes, turned by `turn` radians."""
        points = _ROUND * half
        if turn:
            c, s = math.cos(turn), math.sin(turn)
            points = points @ np.array([[c, s], [-s, c]])
        self.shape(points + np.array(at), colour)

    def box(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        """Fill the rectangle between two opposite corners."""
        (left, top), (right, bottom) = start, end
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """Draw a line through points; `width` in units of the thing."""
        self.lines([points], colour, width)

    def lines(self, paths: Sequence[Points], colour: Colour, width: float) -> None:
        """Draw several lines in one colour."""
        import cv2

        placed = [self._placed(points) for points in paths]
        width_px = max(1, round(self._px * width))
        cv2.polylines(self.canvas, placed, False, colour, width_px, cv2.LINE_AA, _SHIFT)


def arc(
    at: tuple[float, float], half: tuple[float, float], start: float, end: float, steps: int = 12
) -> NDArray[np.float64]:
    """Return points along an ellipse from angle `start` to `end` in turns; 0 is right, 0.25 down."""
    angles = np.linspace(start, end, steps) * 2 * np.pi
    points: NDArray[np.float64] = np.stack([np.cos(angles), np.sin(angles)], axis=1) * half + at
    return points
