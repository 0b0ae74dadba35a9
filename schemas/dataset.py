"""The dataset's YAML file, and the part of it that never changes for a root (dataset.json)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.encoders import CLASS_PATTERN, Encode, Name
from schemas.fetch import STORED_BY, Fetch, HostLimit, VideoSettings, WikimediaWidth
from schemas.generators import AnyGenerator, GeneratorEntry
from schemas.sources import Source, SourceKind
from schemas.strict import StrictModel, TrustingModel

# Includes the parts of the file that are defined in their own modules.
__all__ = [
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

    memory: str = Field("4GiB", pattern=r"^\d+(\.\d+)?\s*(KiB|MiB|GiB|TiB|KB|MB|GB|TB)$")
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
    root: str
    contact: str | None = Field(
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

    def trust(self, classes: Iterable[str]) -> Dataset:
        """Return a copy that trusts these classes, too, and whose encoders do."""
        named = frozenset(classes)
        return super().trust(named).model_copy(update={"encode": self.encode.trust(named)})

    def get_pinned(self) -> dict[str, object]:
        """Return the settings that can never change for a root, by key."""
        return {
            "root": self.root,
            "shard_rows": self.shard_rows,
            "seed": self.seed,
            **{f"fetch.{key}": getattr(self.fetch, key) for key in STORED_BY},
        }
