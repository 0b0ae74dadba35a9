"""The dataset's YAML file, and the part of it that never changes for a root (dataset.json)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from schemas.custom_loader import CLASS_PATTERN
from schemas.encoders import Encode, Name
from schemas.fetch import RESIZED_BY, STORED_BY, Fetch, HostLimit, VideoSettings, WikimediaWidth
from schemas.generators import AnyGenerator, GeneratorEntry
from schemas.names import is_one_line
from schemas.sources import Place, Source, SourceKind
from schemas.strict import StrictModel, Trust, TrustingModel

# Includes the parts of the file that are defined in their own modules.
__all__ = [
    "RESIZED_BY",
    "STORED_BY",
    "Dataset",
    "Fetch",
    "HostLimit",
    "Source",
    "SourceKind",
    "StrictModel",
    "VideoSettings",
    "WikimediaWidth",
]


def _check_contact(contact: str) -> str:
    # A line break would begin another header of every request.
    if not 1 <= len(contact) <= 300 or not is_one_line(contact):
        raise ValueError("a contact is one line of at most 300 characters; give a mail address or a URL")
    return contact


def _check_memory(memory: object) -> object:
    if isinstance(memory, int) and not isinstance(memory, bool):
        memory = f"{memory}B"
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,12})?\s*)(B|[KMGT]i?B)", str(memory), re.IGNORECASE)
    if not found:
        raise ValueError("a size is a number of bytes, or such as 500MB or 4GiB")
    return found[1] + found[2].upper().replace("I", "i")


Contact = Annotated[str, AfterValidator(_check_contact)]
Memory = Annotated[str, BeforeValidator(_check_memory)]


class OwnFilter(BaseModel):
    """A filter of somebody's own; its other keys are the arguments of its class, which checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    filter: str = Field(pattern=CLASS_PATTERN, description="module:Class")


class Filter(StrictModel):
    """Which rows and media the dataset rejects. Limits are inclusive: media at a limit stay."""

    language: str | None = Field("en", description="drop captions surely in another; null keeps all")
    min_side_px: int = Field(64, ge=1)
    max_aspect: float = Field(4.0, ge=1)
    min_length_s: float = Field(1.0, ge=0)
    silence_dbfs: float = Field(-60.0, le=0, description="a clip whose peak is below this is silent")
    max_full_scale_share: float = Field(
        1.0, ge=0, le=1, description="a clip with more of its samples there is clipped: 0.01, say"
    )
    min_frame_change: float = Field(
        0.0, ge=0, le=255, description="a clip whose frames differ by less is a still picture: 4, say"
    )
    own: tuple[OwnFilter, ...] = Field(
        (), exclude_if=lambda own: not own, description="filters of one's own, asked after the others"
    )


class Index(StrictModel):
    """Limits of an index."""

    memory: Memory = "4GiB"
    recall: float = Field(0.95, gt=0, le=1, description="wanted recall@10 against exact search")


# Days from one try to the next, by outcome; the last one repeats, and an empty tuple means never.
RETRY_DAYS: Mapping[str, tuple[float, ...]] = {
    "transient": (0, 1, 7),
    "failed": (0, 1, 7),
    "blocked": (7, 30),
    "blocked/http_429": (0, 1, 7),
    "dead": (30, 90),
    "invalid": (),
    "filtered": (),
}


class Refresh(StrictModel):
    """What a refresh retries. A retry has a new key; the first wait starts at the build."""

    retry_days: Mapping[str, tuple[Annotated[float, Field(ge=0)], ...]] = Field(
        {}, description="outcome or outcome/reason -> days to wait, as in {dead: [30, 90]}; the last repeats"
    )
    recheck: bool = Field(False, description="ask for the links of all samples as well")
    gone_after_h: float = Field(
        24, ge=0, description="a sample goes if its link is dead at two refreshes so many hours apart"
    )

    @model_validator(mode="after")
    def _check_outcomes(self) -> Refresh:
        for name in self.retry_days:
            if name.split("/")[0] not in RETRY_DAYS:
                known = ", ".join(RETRY_DAYS)
                raise ValueError(f"{name!r} is no outcome that is tried again; known are {known}")
        return self

    def get_retry_days(self, outcome: str, reason: str) -> tuple[float, ...]:
        """Return the days to wait before each try; an entry for the reason precedes that of the outcome."""
        for days in (self.retry_days, RETRY_DAYS):
            for name in (f"{outcome}/{reason}", outcome):
                if name in days:
                    return days[name]
        return ()


class Dataset(TrustingModel, StrictModel):
    """A dataset: its root, its lists, and how they are fetched, filtered, encoded and indexed."""

    name: Name
    root: Place
    contact: Contact | None = Field(
        None,
        description="mail address or URL for the User-Agent; needed before a public host is asked",
    )
    shard_rows: int = Field(1000, ge=1, le=1_000_000)
    seed: int = Field(0, ge=0, description="of the order in which URLs are asked for")
    sources: tuple[Source, ...] = Field(min_length=1)
    fetch: Fetch = Fetch()
    filter: Filter = Filter()
    encode: Encode = Encode()
    index: Index = Index()
    refresh: Refresh = Refresh()
    generator: AnyGenerator = GeneratorEntry()

    @field_validator("encode", mode="before")
    @classmethod
    def _take_no_encoder(cls, value: object) -> object:
        # Media alone: a set that holds no vectors, beside which a set with some can be built later.
        return {"set": "media", "clip": None, "clap": None} if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _take_listed_vectors(cls, value: Any) -> Any:
        """A list that brings vectors needs no encoder; with one, the file names it."""
        if not isinstance(value, dict) or value.get("encode") is not None:
            return value
        sources = value.get("sources")
        brings = isinstance(sources, list | tuple) and any(
            isinstance(each, dict) and each.get("vectors") is not None for each in sources
        )
        return value | {"encode": {"set": "listed", "clip": None, "clap": None}} if brings else value

    def with_trust(self, trust: Trust) -> Dataset:
        """Return a copy with another trust, which its encoders have, too.

        Encoders of a set that another file names stay those of that file.
        """
        own, of_encode = self._given_trust, self.encode.given_trust
        if (own.root_keys, own.source) != (of_encode.root_keys, of_encode.source):
            of_encode = replace(trust, root_keys=of_encode.root_keys, source=of_encode.source)
        else:
            of_encode = trust
        # Media from outside are encoded in a root of their own, by the towers of the dataset's.
        encode = self.encode.with_trust(of_encode).with_root(self.encode.root or self.root)
        return super().with_trust(trust).model_copy(update={"encode": encode})

    @property
    def links(self) -> tuple[str, ...]:
        """Folders of this machine into which links of the root may lead."""
        return self._given_trust.links

    def get_pinned(self) -> dict[str, object]:
        """Return the settings that can never change for a root, by key."""
        return {
            "root": self.root,
            "shard_rows": self.shard_rows,
            "seed": self.seed,
            **{f"fetch.{key}": getattr(self.fetch, key) for key in STORED_BY},
        }
