"""The file a person writes, and the part of it that a root can never change (dataset.json)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
SourceKind = Literal["wit", "cc3m", "cc12m", "audiocaps", "vggsound", "folder", "img2dataset"]
ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]


class Strict(BaseModel):
    """A model that people write: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Strict):
    """One list of rows to want."""

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
    def _fits_kind(self) -> Source:
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


class Fetch(Strict):
    """How media are asked for and stored. `image_size` and `resize_mode` are pinned per root."""

    image_size: int = Field(256, ge=16, le=4096)
    resize_mode: ResizeMode = "keep_ratio"
    timeout_s: float = Field(20, gt=0, description="for one URL, all told")
    retries: int = Field(1, ge=0, le=10)
    connections: int = Field(128, ge=1, description="requests in flight in one worker")
    workers: int | None = Field(None, ge=1, description="fetch workers; a half of the cores if unset")
    max_bytes: int = Field(50_000_000, ge=1, description="of one picture or clip")
    max_pixels: int = Field(120_000_000, ge=1, description="read from the header before decoding")
    allow_private_hosts: bool = False


class Filter(Strict):
    """What the dataset does not want. Limits are inclusive: media at a limit stay."""

    language: str | None = Field("en", description="drop captions surely in another; null keeps all")
    min_side_px: int = Field(64, ge=1)
    max_aspect: float = Field(4.0, ge=1)
    min_length_s: float = Field(1.0, ge=0)
    silence_dbfs: float = Field(-60.0, le=0, description="a clip whose peak is below this is silent")


class ClipEncoder(Strict):
    """An image-text encoder."""

    loader: Literal["open_clip"] = "open_clip"
    model: str = "ViT-B-32-quickgelu"
    weights: str = "openai"
    batch_rows: int = Field(32, ge=1)


class ClapEncoder(Strict):
    """A sound-text encoder."""

    loader: Literal["transformers"] = "transformers"
    weights: str = "laion/clap-htsat-unfused"
    revision: str | None = Field(None, description="a commit, never a branch")
    batch_rows: int = Field(8, ge=1)


class Encode(Strict):
    """Which encoders make the vectors of one set. Another choice needs another set name."""

    set: Name = "main"
    clip: ClipEncoder | Literal["pocket"] | None = ClipEncoder()
    clap: ClapEncoder | Literal["pocket"] | None = ClapEncoder()
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int | None = Field(None, ge=1, description="encode workers; one a GPU if unset, else 1")


class Index(Strict):
    """How the index may be built."""

    memory: str = Field("4GiB", pattern=r"^\d+(\.\d+)?\s*(KiB|MiB|GiB|TiB|KB|MB|GB|TB)$")
    recall: float = Field(0.95, gt=0, le=1, description="wanted recall@10 against exact search")


class Dataset(Strict):
    """A dataset: where it lies, what goes in, and how."""

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

    def pinned(self) -> dict[str, object]:
        """Return what can never change for a root, key by key."""
        return {
            "root": self.root,
            "shard_rows": self.shard_rows,
            "seed": self.seed,
            "fetch.image_size": self.fetch.image_size,
            "fetch.resize_mode": self.fetch.resize_mode,
        }
