"""The encoders that a dataset's file names: one for each family, and for each column that joins one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.custom_loader import OtherEncoder
from schemas.families import COLUMNS, FAMILIES, Column, get_family, is_column, is_family
from schemas.names import check_name
from schemas.segment import WHOLE, Segment
from schemas.strict import StrictModel, TrustingModel

Name = Annotated[str, AfterValidator(partial(check_name, more="_-"))]


def _check_commit(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError("a branch or tag may move; give the 40 hex digits of a commit")
    return revision


Commit = Annotated[str, AfterValidator(_check_commit)]


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


def _choose_by_loader(loaders: Mapping[str, type[BaseModel]]) -> Discriminator:
    """Choose the model by the loader's name: the first if there is none, `OtherEncoder` for others."""
    tags = {loader: model.__name__ for loader, model in loaders.items()}
    first = next(iter(tags))

    def choose(value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return "Null" if value is None else "Pocket"
        loader = value.get("loader", first) if isinstance(value, dict) else getattr(value, "loader", first)
        return tags.get(str(loader), "OtherEncoder" if isinstance(loader, str) else None)

    return Discriminator(
        choose,
        custom_error_type="loader",
        custom_error_message=f"loader must be one of {', '.join(loaders)}, or module:Class of your own",
    )


# What `encode.clip` and `encode.clap` may be. The models here give defaults and check keys before any import;
# a loader without one is found by its name (pipelines/encode/registry.py).
_AnyFamily = (
    Annotated[OtherEncoder, Tag("OtherEncoder")]
    | Annotated[Literal["pocket"], Tag("Pocket")]
    | Annotated[None, Tag("Null")]
)
ClipEncoder = Annotated[
    Annotated[OpenClipEncoder, Tag("OpenClipEncoder")]
    | Annotated[TransformersClipEncoder, Tag("TransformersClipEncoder")]
    | _AnyFamily,
    _choose_by_loader({"open_clip": OpenClipEncoder, "transformers": TransformersClipEncoder}),
]
ClapEncoder = Annotated[
    Annotated[TransformersClapEncoder, Tag("TransformersClapEncoder")]
    | Annotated[LaionClapEncoder, Tag("LaionClapEncoder")]
    | Annotated[AudioLdmEncoder, Tag("AudioLdmEncoder")]
    | _AnyFamily,
    _choose_by_loader(
        {
            "transformers": TransformersClapEncoder,
            "laion_clap": LaionClapEncoder,
            "audioldm": AudioLdmEncoder,
        }
    ),
]
Encoder = ClipEncoder | ClapEncoder


# The loader of trained towers; its `weights` name a model of the root, what ships, or a folder.
TOWER = "tower"
POCKET = "pocket"


def _require_loader(value: Any) -> Any:
    """Refuse a value that names no loader: its key is most likely misspelt."""
    if isinstance(value, OtherEncoder) or (isinstance(value, dict) and "loader" in value):
        return value
    raise PydanticCustomError("extra_forbidden", "no encoder of a family or a column")


# Keys of `encode` that name no encoder.
_OF_THE_SET = frozenset({"set", "segment", "windows", "precision", "workers"})


class Encode(TrustingModel):
    """Which encoders make the vectors of one set. Another choice needs another set name.

    Beside `clip` and `clap`, a key may be a family of one's own, as in `ciap`, or a column whose tower was
    trained into the space of a family, as in `clap_image`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    set: Name = "main"
    clip: ClipEncoder = OpenClipEncoder()
    clap: ClapEncoder = TransformersClapEncoder()
    segment: Segment = WHOLE
    windows: bool = Field(False, description="whether the vectors of all windows of a clip's sound are kept")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int | None = Field(None, ge=1, description="encode workers; one a GPU if unset, else 1")

    __pydantic_extra__: dict[str, Annotated[OtherEncoder, BeforeValidator(_require_loader)]] = Field(
        init=False
    )
    # Not stored: a root may be moved. It travels with pickles and copies.
    _root: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _name_pocket_towers(cls, value: Any) -> Any:
        """Take `pocket` for a column as the tower that ships."""
        if not isinstance(value, dict):
            return value
        pocket = {key for key, entry in value.items() if entry == POCKET and is_column(str(key))}
        return value | {key: {"loader": TOWER, "weights": POCKET} for key in pocket}

    @model_validator(mode="after")
    def _check_names(self) -> Encode:
        for key in self.__pydantic_extra__:
            if is_family(key) or (is_column(key) and key not in COLUMNS):
                continue
            if key in COLUMNS:
                raise ValueError(f"{key} is a column of {get_family(key)}; name its encoder there")
            raise ValueError(
                f"{key[:80]!r} names neither a family (lower-case letters and digits, as in ciap) nor a "
                "column that joins one (as in clap_image)"
            )
        return self

    @model_serializer(mode="wrap")
    def _write_without_default(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A dataset without windows is stored as before there were any.
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key != "windows" or value}

    @property
    def root(self) -> str:
        """URL of the root whose models its towers are named among; empty for none."""
        return self._root

    def with_root(self, root: str) -> Self:
        """Return a copy for a root."""
        copied = self.model_copy()
        copied._root = root  # noqa: SLF001 - of its own class
        return copied

    @property
    def entries(self) -> dict[str, Encoder]:
        """The encoders by key: a family, or a column that joins one. An encoder that is null is left out."""
        entries: dict[str, Encoder] = {"clip": self.clip, "clap": self.clap, **self.__pydantic_extra__}
        return {key: entry for key, entry in entries.items() if entry is not None}

    def find_key(self, column: Column) -> str:
        """Return the key of the encoder that fills a column: the column itself, else its family."""
        return column if column in self.__pydantic_extra__ else get_family(column)

    def select(self, keys: Iterable[str]) -> Encode:
        """Return a copy with the encoders of some keys alone."""
        kept = set(keys)
        content = {
            key: value for key, value in self.model_dump().items() if key in kept or key in _OF_THE_SET
        }
        absent = dict.fromkeys(family for family in FAMILIES if family not in kept)
        selected = Encode.model_validate(content | absent)
        return selected.with_trust(self.given_trust).with_root(self.root)
