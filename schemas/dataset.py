"""The dataset's YAML file, and the part of it that never changes for a root (dataset.json)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    StringConstraints,
    Tag,
    model_validator,
)

from schemas.fetch import STORED_BY, Fetch, HostLimit, VideoSettings, WikimediaWidth
from schemas.strict import StrictModel

# Includes the parts of the file that are defined in their own modules.
__all__ = [
    "STORED_BY",
    "Dataset",
    "Fetch",
    "HostLimit",
    "Source",
    "StrictModel",
    "VideoSettings",
    "WikimediaWidth",
]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
SourceKind = Literal["wit", "cc3m", "cc12m", "audiocaps", "vggsound", "folder", "img2dataset"]


def _check_commit(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError("a branch or tag may move; give the 40 hex digits of a commit")
    return revision


Commit = Annotated[str, AfterValidator(_check_commit)]


class Source(StrictModel):
    """One list of rows."""

    kind: SourceKind
    list: str = Field(description="path or URL of the list; a folder for folder and img2dataset")
    take: Literal["media", "text"] = Field(
        "media", description="text: the captions only, nothing is downloaded"
    )
    languages: tuple[str, ...] = Field((), description="list's own codes to keep; empty keeps all")
    labels: tuple[str, ...] = Field((), description="VGGSound labels to keep; empty keeps all")
    split: str | None = Field(None, description="VGGSound split to keep")
    media: str | None = Field(
        None,
        description="where a clip is, in place of YouTube: a template over youtube_id, start_s, label",
    )
    columns: tuple[str, str] | None = Field(
        None,
        description="order of a CC list's columns, where the file's differs from the published",
    )

    @model_validator(mode="after")
    def _check_keys(self) -> Source:
        clips = self.kind in ("audiocaps", "vggsound")
        for key, allowed in (
            ("languages", self.kind == "wit"),
            ("labels", self.kind == "vggsound"),
            ("split", self.kind == "vggsound"),
            ("media", clips),
            ("columns", self.kind in ("cc3m", "cc12m")),
        ):
            if getattr(self, key) and not allowed:
                raise ValueError(f"a {self.kind} list has no {key!r}; take that key out")
        if self.columns and set(self.columns) != {"caption", "url"}:
            raise ValueError(f"columns must be caption and url in some order, not {self.columns}")
        return self


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


class OpenClipEncoder(StrictModel):
    """An image-text encoder of open_clip."""

    loader: Literal["open_clip"] = "open_clip"
    model: str = Field("ViT-B-32-quickgelu", description="a name, hf-hub:OWNER/NAME or local-dir:FOLDER")
    weights: str = Field("openai", description="a tag or a file, for a name")
    batch_rows: int = Field(32, ge=1)


class TransformersClipEncoder(StrictModel):
    """An image-text encoder of transformers: CLIP, SigLIP and what has their shape."""

    loader: Literal["transformers"]
    weights: str = Field(description="a folder, or a repository of the hub")
    revision: Commit | None = Field(None, description="a commit of the repository, never a branch")
    batch_rows: int = Field(32, ge=1)


class TransformersClapEncoder(StrictModel):
    """A sound-text encoder of transformers: ClapModel."""

    loader: Literal["transformers"] = "transformers"
    weights: str = Field("laion/clap-htsat-unfused", description="a folder, or a repository of the hub")
    revision: Commit | None = Field(None, description="a commit of the repository, never a branch")
    batch_rows: int = Field(8, ge=1)


class LaionClapEncoder(StrictModel):
    """A sound-text encoder in LAION's own checkpoint."""

    loader: Literal["laion_clap"]
    weights: str = Field(description="a .pt file, or OWNER/NAME/FILE.pt on the hub")
    revision: Commit | None = Field(None, description="a commit of the repository, never a branch")
    tokenizer: str = Field("roberta-base", description="a repository of the hub, or a folder")
    batch_rows: int = Field(8, ge=1)


class AudioLdmEncoder(StrictModel):
    """The sound-text encoder that an AudioLDM was trained with: its vectors can become sounds."""

    loader: Literal["audioldm"]
    weights: str = Field(description="a folder that diffusers saved, or a repository of the hub")
    revision: Commit | None = Field(None, description="a commit of the repository, never a branch")
    audio: str = Field(description="AudioLDM's original checkpoint, or the folder of a ClapModel")
    batch_rows: int = Field(8, ge=1)


# A class of somebody's own. ASCII, so that no two names look alike.
_WORD = "[A-Za-z_][A-Za-z0-9_]*"
CLASS_PATTERN = rf"^{_WORD}(\.{_WORD})*:{_WORD}$"


class ImportedEncoder(BaseModel):
    """An encoder of one's own: every other key is an argument of its class."""

    model_config = ConfigDict(frozen=True, extra="allow")

    loader: str = Field(pattern=CLASS_PATTERN, description="module:Class")


def _choose_by_loader(loaders: Mapping[str, type[BaseModel]]) -> Discriminator:
    """Choose by `loader`: the first one where nothing is said, one's own where it has a colon."""
    tags = {loader: model.__name__ for loader, model in loaders.items()}
    first = next(iter(tags))

    def chosen(value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return "Null" if value is None else "Pocket"
        loader = value.get("loader", first) if isinstance(value, dict) else getattr(value, "loader", first)
        return "OwnEncoder" if ":" in str(loader) else tags.get(str(loader))

    return Discriminator(
        chosen,
        custom_error_type="loader",
        custom_error_message=f"loader must be one of {', '.join(loaders)}, or module:Class of your own",
    )


# What `encode.clip` and `encode.clap` may be. A loader joins here and in pipelines/encode/registry.py.
_Elsewhere = (
    Annotated[ImportedEncoder, Tag("OwnEncoder")]
    | Annotated[Literal["pocket"], Tag("Pocket")]
    | Annotated[None, Tag("Null")]
)
ClipEncoder = Annotated[
    Annotated[OpenClipEncoder, Tag("OpenClipEncoder")]
    | Annotated[TransformersClipEncoder, Tag("TransformersClipEncoder")]
    | _Elsewhere,
    _choose_by_loader({"open_clip": OpenClipEncoder, "transformers": TransformersClipEncoder}),
]
ClapEncoder = Annotated[
    Annotated[TransformersClapEncoder, Tag("TransformersClapEncoder")]
    | Annotated[LaionClapEncoder, Tag("LaionClapEncoder")]
    | Annotated[AudioLdmEncoder, Tag("AudioLdmEncoder")]
    | _Elsewhere,
    _choose_by_loader(
        {
            "transformers": TransformersClapEncoder,
            "laion_clap": LaionClapEncoder,
            "audioldm": AudioLdmEncoder,
        }
    ),
]


class Segment(StrictModel):
    """Which part of a clip its vectors stand for: `clap_audio` for its sound, `clip_image` for its frames."""

    mode: Literal["whole", "middle", "best"] = Field(
        "whole",
        description="whole: the mean of its windows and frames; middle: the segment and the frame in the "
        "middle; best: those that fit the caption best",
    )
    segment_s: float = Field(3.0, gt=0, le=60, description="length of the segment")
    step_s: float = Field(1.0, gt=0, description="from one segment that is tried to the next; for best")

    def get_pinned(self) -> dict[str, Any]:
        """Return the settings that the mode uses, which pin the vectors of a set; none for whole clips."""
        used_keys = {"whole": (), "middle": ("mode", "segment_s"), "best": ("mode", "segment_s", "step_s")}
        return {key: getattr(self, key) for key in used_keys[self.mode]}


WHOLE = Segment()


class Encode(StrictModel):
    """Which encoders make the vectors of one set. Another choice needs another set name."""

    set: Name = "main"
    clip: ClipEncoder = OpenClipEncoder()
    clap: ClapEncoder = TransformersClapEncoder()
    segment: Segment = WHOLE
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int | None = Field(None, ge=1, description="encode workers; one a GPU if unset, else 1")

    # Neither a key of a file nor stored: nothing that is read can set it. It travels with pickles and copies.
    _trusted: frozenset[str] = PrivateAttr(frozenset())

    @property
    def trusted(self) -> frozenset[str]:
        """Classes (module:Class) that the person who runs this has named, and which may be imported."""
        return self._trusted

    def trust(self, classes: Iterable[str]) -> Encode:
        """Return a copy that trusts these classes, too; each counts only if its name is the same exactly."""
        trusting = self.model_copy()
        trusting._trusted = self._trusted | frozenset(classes)  # noqa: SLF001 - of its own class
        return trusting


class GeneratorEntry(StrictModel):
    """The generator that makes sounds of vectors: an AudioLDM that diffusers saved."""

    weights: str = Field("pocket", description="pocket, a folder, or a repository of the hub")
    revision: Commit | None = Field(None, description="a commit of the repository, never a branch")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_rows: int = Field(8, ge=1, le=256, description="sounds of every forward")


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


class Dataset(StrictModel):
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
    generator: GeneratorEntry = GeneratorEntry()

    def get_pinned(self) -> dict[str, object]:
        """Return the settings that can never change for a root, by key."""
        return {
            "root": self.root,
            "shard_rows": self.shard_rows,
            "seed": self.seed,
            **{f"fetch.{key}": getattr(self.fetch, key) for key in STORED_BY},
        }
