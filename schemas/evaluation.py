"""evaluations/NAME/: ways of crossing from one medium to another, scored by judges on the same held-out rows.

wanted.json             EvaluationManifest: the request; another request needs another NAME
judged/NNNNN.parquet    what the judges read off the outputs
rows.json               the table, a list of EvaluationRow; written when every way and judge has its row
report.html             the table, and the outputs side by side

Beside them, evaluations/scenes-HASH/NNNNN.parquet: vectors of drawn scenes, which evaluations share.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, TypeAdapter

from schemas.families import Column
from schemas.generated import ModelRef
from schemas.media import Medium
from schemas.names import PartName
from schemas.strict import StrictModel

Direction = Literal[
    "picture->sound", "sound->picture", "text->sound", "text->picture", "picture->text", "sound->text"
]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
# What the miniature world knows of a scene. Sounds show no colour: across them it must stay at chance.
ATTRIBUTES = ("kind", "ground", "size", "count", "colour")


def split_direction(direction: Direction) -> tuple[Medium, Medium]:
    """Return the medium that a direction leads from, and the one that it leads to."""
    media: dict[str, Medium] = {medium: medium for medium in get_args(Medium)}
    source, _, target = direction.partition("->")
    return media[source], media[target]


class ScoreInterval(StrictModel):
    """A number with its 95 % interval over groups."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class EvaluationRow(StrictModel):
    """One score of one way, by one judge."""

    direction: Direction
    way: str
    judge: str | None = Field(description="null: of vectors, which nobody judges")
    score: str = Field(description="kind, ground, size, count, colour (shares in 0..1), or a metric's name")
    value: float | None = Field(description="null if no row has it")
    low: float | None = Field(description="of the 95 % interval, bootstrapped over groups")
    high: float | None
    n: int = Field(description="rows that count")
    output: str = Field(description="what was scored: real, nearest, caption, vector, or generator:NAME")
    independent: bool | None = Field(
        description="whether the judge shares no space with what made or chose the output; null without one"
    )
    groups: int = Field(description="of the rows: what is never split")
    combinations: int | None = Field(None, description="of kind, ground and size, where these are known")
    gallery: int | None = Field(None, description="items among which the own one was looked for")
    too_few: bool | None = Field(
        None, description="of a Fréchet distance: fewer than ten rows a dimension, so size alone decides it"
    )
    floor: ScoreInterval | None = Field(
        None, description="of a distance between sets: real halves of the same rows against each other"
    )
    differences: dict[str, ScoreInterval] = Field(
        {}, description="another way -> this one's value minus the other's, over the same rows"
    )


class EvaluationManifest(StrictModel):
    """wanted.json: the request of a NAME, which never changes."""

    name: PartName
    target: str = Field(description="a dataset's name, or miniature")
    direction: Direction
    ways: tuple[str, ...]
    judges: tuple[ModelRef, ...]
    models: tuple[ModelRef, ...] = Field(
        description="translators and generators of the ways, and what leads back"
    )
    rows: int = Field(ge=1, description="that are scored")
    rows_sha256: str = Field(description="over their ids, and those of the gallery")
    seed: int = Field(ge=0, lt=2**63)
    params: dict[str, Any] = Field({}, description="of the generators, as they were given")
    only: tuple[str, ...] = Field((), description="kinds or labels of the rows; empty for all")
    split: str = Field(description="which rows: heldout, or all")
    labels: ModelRef | None = Field(
        None, description="by which clips find each other, too: a file of VGGSounder"
    )
    protocol: str | None = Field(None, description="the published one that it follows")
    source: Column
    target_column: Column
    spaces: dict[str, str] = Field(
        {}, description="column -> the identity of its space: another set of vectors is another evaluation"
    )


EVALUATION_ROWS: TypeAdapter[list[EvaluationRow]] = TypeAdapter(list[EvaluationRow])


class EvaluationProtocol(StrictModel):
    """A published protocol as a preset: what of it can be run here, and what cannot."""

    about: str
    direction: Direction
    ways: tuple[str, ...]
    judges: tuple[str, ...] = ()
    asks: str = Field("", description="what a person has to name; empty if it can run as it is")
    rows: int = Field(ge=2)
    rate_hz: int | None = Field(None, description="that every judge of sounds must hear at")
    reference: bool = Field(True, description="whether the rows have true media of the target")
    all_rows: bool = Field(False, description="whether no row is held out: nothing was trained on any")
    deviations: tuple[str, ...] = Field(description="from what was published")
