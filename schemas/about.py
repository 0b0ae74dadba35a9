"""What a service reports about its dataset."""

from __future__ import annotations

from pydantic import Field

from schemas.families import Column
from schemas.index_card import IndexCard
from schemas.strict import StrictModel
from schemas.translator_card import TranslatorCard


class AboutVersion(StrictModel):
    """One version of the dataset."""

    number: int
    created: str = Field(description="UTC, ISO 8601")
    candidates: int
    outcomes: dict[str, int] = Field(description="status -> count; adds up to candidates")
    vectors: dict[str, int] = Field(description="column -> vectors in it")


class About(StrictModel):
    """The dataset, its versions, and what can be searched in it."""

    name: str
    set: str
    version: int = Field(description="the one that answers")
    versions: tuple[AboutVersion, ...] = Field(description="of the set, the newest first")
    columns: dict[Column, IndexCard] = Field(description="that can be searched -> the card of its index")
    translators: tuple[TranslatorCard, ...]
    sources: tuple[str, ...] = Field(description="kinds of its lists")
    report: bool = Field(False, description="whether /v1/report has one of this version")
    image_urls: bool = Field(False, description="whether a query may name a picture on the web")
