"""Render an evaluation: its table, and the outputs of all ways side by side. One HTML file.

Captions and labels are of lists: they are escaped, and the page loads nothing from anywhere.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import StorageError
from pipelines.generate.media import decode_sound
from pipelines.report.formatting import make_environment
from pipelines.report.media import make_sound_clip, make_thumbnail
from pipelines.report.players import draw_spectrogram
from schemas.evaluation import EvaluationManifest, EvaluationRow
from schemas.media import Medium

_TEMPLATE = "evaluation.html"
# Of 24 rows and six ways: some 10 MB.
MAX_ROWS = 24


@dataclass(frozen=True)
class MediaCell:
    """One file as a page shows it.

    Attributes:
        medium: of it.
        text: of a caption; empty for media.
        uri: of a picture or a sound, data:; None of what cannot be shown.
        drawn: the spectrogram of a sound, data:; None of others.
    """

    medium: Medium
    text: str = ""
    uri: str | None = None
    drawn: str | None = None


@dataclass(frozen=True)
class ComparedRow:
    """A scored row: what was crossed from, and what each way made of it.

    Attributes:
        source: what was crossed from.
        caption: of the row.
        cells: of the ways, in their order.
    """

    source: MediaCell
    caption: str
    cells: Sequence[MediaCell]


@dataclass(frozen=True)
class ScoreBlock:
    """The scores of one judge as a table.

    Attributes:
        judge: its name; None of vectors.
        scores: names of the columns.
        lines: way -> its row of every score; None where it has none.
    """

    judge: str | None
    scores: Sequence[str]
    lines: dict[str, list[EvaluationRow | None]]


def render_evaluation(
    manifest: EvaluationManifest, rows: Sequence[EvaluationRow], compared: Sequence[ComparedRow]
) -> str:
    """Return the page.

    Args:
        manifest: of the evaluation.
        rows: of its table.
        compared: rows to look at and listen to.
    """
    environment = make_environment(Path(__file__).parent)
    return environment.get_template(_TEMPLATE).render(
        manifest=manifest, rows=rows, blocks=make_blocks(rows), compared=compared, first=rows[0]
    )


def make_blocks(rows: Sequence[EvaluationRow]) -> list[ScoreBlock]:
    """Return a table by judges: vectors first, as they come."""
    blocks = []
    for judge in dict.fromkeys(row.judge for row in rows):
        own = [row for row in rows if row.judge == judge]
        scores = list(dict.fromkeys(row.score for row in own))
        cells = {(row.way, row.score): row for row in own}
        lines = {
            way: [cells.get((way, score)) for score in scores] for way in dict.fromkeys(r.way for r in own)
        }
        blocks.append(ScoreBlock(judge, scores, lines))
    return blocks


def make_cell(data: bytes | None, medium: Medium) -> MediaCell:
    """Return a file as a page shows it; small enough that a page holds many.

    Args:
        data: of the file; None where there is none.
        medium: of it.
    """
    if data is None:
        return MediaCell(medium)
    if medium == "text":
        return MediaCell(medium, text=data.decode(errors="replace"))
    if medium == "picture":
        return MediaCell(medium, uri=make_thumbnail({"jpg": data}))
    try:
        drawn = draw_spectrogram(*decode_sound(data))
    except StorageError:
        return MediaCell(medium)
    # What no MP3 can be made of, such as 1,600 samples a second, is shown as it is.
    played = make_sound_clip({"flac": data}) or f"data:audio/flac;base64,{base64.b64encode(data).decode()}"
    return MediaCell(medium, uri=played, drawn=drawn)
