"""Queries and answers of a lookup: the same for the command, the service and the page."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Base64Bytes, ConfigDict, Field, model_validator

from schemas.families import Column
from schemas.strict import StrictModel

MOST_HITS = 1_000


class RowFilter(StrictModel):
    """Which rows may be hits; a field that is not set excludes none."""

    sources: tuple[str, ...] = Field((), description="the lists' kinds, as in wit or vggsound")
    languages: tuple[str, ...] = Field((), description="as the list says, as in en")
    min_side_px: int | None = Field(None, ge=1, description="of the picture as the web had it")

    def __bool__(self) -> bool:
        """Whether any field is set."""
        return bool(self.sources or self.languages or self.min_side_px)


class Query(StrictModel):
    """One query by exactly one of text, image, sound, vector and key."""

    # A vector that is none has a sentence of its own, which says how many numbers to give.
    model_config = ConfigDict(allow_inf_nan=True)

    text: str | None = Field(None, max_length=5_000)
    image: Base64Bytes | None = Field(None, description="a JPEG, PNG or WebP file")
    sound: Base64Bytes | None = Field(None, description="a WAV, FLAC, OGG or MP3 file")
    vector: tuple[float, ...] | None = Field(
        None, description="in the space of the column that is searched, or where the translator begins"
    )
    key: str | None = Field(None, description="of a row: more like this")
    of: Column | None = Field(
        None, description="whose vector of the key asks; the searched column's, or one of its space"
    )
    into: Column | None = Field(
        None,
        description="the column to search; the translator's target, clap_audio for sounds, else clip_image; "
        "another one where the dataset has no such column",
    )
    via: str | None = Field(
        None, description="the translator that crosses from the query's space to the column's"
    )
    k: Annotated[int, Field(ge=1, le=MOST_HITS)] = 10
    only: RowFilter = RowFilter()
    distinct: bool = Field(False, description="leave out near-duplicates of better hits")
    vectors: bool = Field(False, description="answer with the vector of every hit, too")

    @model_validator(mode="after")
    def _require_one_input(self) -> Self:
        given = [
            name for name in ("text", "image", "sound", "vector", "key") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            inputs = " and ".join(given) or "none of them"
            raise ValueError(f"a query is one of text, image, sound, vector and key; {inputs} was given")
        if self.of is not None and self.key is None:
            raise ValueError("of says whose vector of a key asks, and no key was given")
        return self


class Hit(StrictModel):
    """A row that was found."""

    key: str
    score: float = Field(description="the cosine to the query")
    caption: str
    url: str
    source: str
    kind: str
    licence: str
    page_url: str | None = None
    attribution: str | None = None
    language: str | None = None
    vector: tuple[float, ...] | None = None


class Answer(StrictModel):
    """Hits, best first, with the version and column that were searched."""

    version: int
    column: Column
    via: str | None = Field(None, description="the translator that the query took, named or by default")
    hits: tuple[Hit, ...]
