"""Render the page: one HTML file. Text from lists is escaped: never markup, a link or a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipelines.lookup.dedup import DUPLICATE_COSINE
from pipelines.report import formatting
from pipelines.report.collect import VersionReport
from pipelines.report.neighbours import QueryDirection
from schemas.candidate import Kind
from schemas.families import Column, Modality, get_family, get_modality
from schemas.outcome import STATUSES

_TEMPLATE = "report.html"
_VALUES_SHOWN = 10
_RECALL_AT = (1, 10, 100)
_KINDS: dict[Kind, str] = {"image": "picture", "clip": "sound", "text": "caption without media"}
_QUERY_WORDS: dict[Modality, str] = {"text": "text", "image": "picture", "audio": "sound"}
_NORMS_OF: dict[tuple[Column, bool], str] = {
    ("clip_image", False): "Pictures",
    ("clip_image", True): "Clips: the mean of their frames",
    ("clip_text", False): "Captions, in the space of pictures",
    ("clap_text", False): "Captions, in the space of sounds",
    ("clap_audio", False): "Sounds",
}
# (asks, into) -> heading and explanation.
_WAYS = {
    ("text", "clip_image"): (
        "Text finds pictures",
        "A caption, among the vectors of pictures and of clips' frames.",
    ),
    ("text", "clap_audio"): ("Text finds sounds", "A caption, among the vectors of sounds."),
    ("picture", "clip_text"): ("Pictures find captions", "A picture, among the vectors of captions."),
    ("sound", "clap_text"): (
        "Sounds find pictures and captions",
        "A sound, among the captions of everything there is: what it leads to may be a picture.",
    ),
}


@dataclass(frozen=True, slots=True)
class RankedCounts:
    """The most frequent values of a column, and the rest as a sum.

    Attributes:
        rows: (value, rows), the most frequent first; None is an unknown value.
        others: values that are not among them.
        rest: rows of those.
        total: all rows.
        most: rows of the longest bar.
        unknown: the label of None.
    """

    rows: list[tuple[str | None, int]]
    others: int
    rest: int
    total: int
    most: int
    unknown: str

    @property
    def known(self) -> bool:
        """Whether any row has a value."""
        return any(value for value, _ in self.rows)

    @classmethod
    def from_counts(cls, counts: Counter[str | None], unknown: str) -> RankedCounts:
        """Rank counts.

        Args:
            counts: value -> rows.
            unknown: the label of None.
        """
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
        shown, others = ordered[:_VALUES_SHOWN], ordered[_VALUES_SHOWN:]
        rest = sum(rows for _, rows in others)
        most = max([rest, *(rows for _, rows in shown)])
        return cls(shown, len(others), rest, counts.total(), most, unknown)


def render(report: VersionReport) -> str:
    """Return the page of a report."""
    environment = formatting.make_environment(Path(__file__).parent)
    environment.filters["curve"] = _draw_curve
    version = report.version
    ok = version.outcomes.get("ok", 0)
    seconds = list(report.stage_times.seconds.values()) if report.stage_times else []
    return environment.get_template(_TEMPLATE).render(
        report=report,
        version=version,
        ok=ok,
        sentence=_describe(report),
        flow=_draw_band([version.rows_read, version.candidates, ok], version.rows_read),
        flow_ok=_draw_band([ok, ok, ok], version.rows_read),
        statuses=[status for status in STATUSES[1:] if version.outcomes.get(status)],
        most_lost=max((reason.rows for outcome in report.outcomes for reason in outcome.reasons), default=0),
        listed=RankedCounts.from_counts(report.listed_languages, "not said"),
        detected=RankedCounts.from_counts(report.detected_languages, "not sure"),
        licences=RankedCounts.from_counts(report.licences, "not said"),
        alike_from=DUPLICATE_COSINE,
        recall_at=_RECALL_AT,
        describe_norms=_describe_norms,
        describe_way=_describe_way,
        stage_seconds=sum(seconds),
        longest_stage=max(seconds, default=0),
    )


def _describe_norms(column: Column, frames: bool) -> str:
    """Return the heading of a histogram of norms: of a column, or of the frames of its clips."""
    plain = f"{formatting.name_column(column)}{': the mean of the frames of clips' if frames else ''}"
    return _NORMS_OF.get((column, frames), plain)


def _describe_way(way: QueryDirection) -> tuple[str, str]:
    """Return the heading of a panel of neighbours, and its explanation."""
    if known := _WAYS.get((way.asks, way.into)):
        return known
    found = {"image": "pictures", "audio": "sounds", "text": "captions"}[get_modality(way.into)]
    asks = {"text": "Text finds", "picture": "Pictures find", "sound": "Sounds find"}[way.asks]
    query = {"text": "caption", "picture": "picture", "sound": "sound"}[way.asks]
    family = get_family(way.into).upper()
    return f"{asks} {found} ({family})", f"A {query}, among the {family} vectors of {found}."


def _draw_curve(values: Sequence[float]) -> str:
    """Return the SVG path of a line from 0 to 100, its least value at 22 and its greatest at 2."""
    least, most = min(values), max(values)
    across, up = 100 / max(len(values) - 1, 1), 20 / ((most - least) or 1)
    places = [f"{at * across:.1f} {22 - (value - least) * up:.1f}" for at, value in enumerate(values)]
    return "M" + "L".join(places if len(places) > 1 else places * 2)


def _describe(report: VersionReport) -> str:
    """Return a sentence on what the dataset holds and how it can be searched."""
    kinds = [_format_plural(rows, _KINDS[kind]) for kind, rows in report.ok_by_kind.items() if rows]
    filled = {get_modality(column) for column, vectors in report.version.vectors.items() if vectors}
    queries = [word for modality, word in _QUERY_WORDS.items() if modality in filled]
    read = f"{_format_plural(report.version.rows_read, 'row')} of {_format_plural(report.lists, 'list')}"
    became = f"{read} became {_join(kinds, 'and') or 'no dataset'}."
    return f"{became} You can search them by {_join(queries, 'or')}." if queries else became


def _format_plural(number: int, name: str) -> str:
    first, *rest = name.split(" ")
    return " ".join([formatting.format_count(number), first if number == 1 else f"{first}s", *rest])


def _join(parts: Sequence[str], last: str) -> str:
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _draw_band(rows: list[int], total: int) -> str:
    """Return the SVG path of a band that is 100 wide per stage and as high as its rows, in a box 100 high.

    Args:
        rows: of each stage.
        total: the rows that fill the box.
    """
    # A count above 0 stays visible, however small.
    halves = [max(50 * count / (total or 1), 0.4 if count else 0) for count in rows]
    top, bottom = f"M0 {50 - halves[0]:.2f}", ""
    for at, (before, after) in enumerate(pairwise(halves), 1):
        x = 100 * at
        top += f"H{x - 45}C{x - 20} {50 - before:.2f} {x - 25} {50 - after:.2f} {x} {50 - after:.2f}"
        bottom = (
            f"H{x}C{x - 25} {50 + after:.2f} {x - 20} {50 + before:.2f} {x - 45} {50 + before:.2f}" + bottom
        )
    return f"{top}H{100 * len(rows)}V{50 + halves[-1]:.2f}{bottom}H0Z"
