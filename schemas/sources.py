"""A list that a dataset's file names. The keys of each kind are beside its reader, in pipelines/source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.custom_loader import CLASS_PATTERN
from schemas.names import is_one_line

_KIND_PATTERN = rf"^[a-z][a-z0-9_]*$|{CLASS_PATTERN}"
# A root may hold these keys empty for a kind that does not have them.
_MAY_BE_EMPTY = frozenset({"languages", "labels", "split", "media", "columns"})


def _check_kind(name: str) -> str:
    if not re.fullmatch(_KIND_PATTERN, name):
        raise ValueError("it names neither a kind of list nor a class; write module:Class")
    return name


# A kind that a file of pipelines/source reads, or a class of one's own.
SourceKind = Annotated[str, AfterValidator(_check_kind)]


def _check_place(place: str) -> str:
    if not place.strip():
        raise ValueError("it is empty; give a folder or file, or a URL")
    if not is_one_line(place):
        raise ValueError("it has a line break or another control character; write it in one line")
    return place


# A path or a URL.
Place = Annotated[str, AfterValidator(_check_place)]


class Source(BaseModel):
    """One list of rows. Its other keys are those of its kind, which checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: SourceKind = Field(description="of the list, or module:Class")
    list: Place = Field(description="path or URL of the list; a folder for folder and img2dataset")
    take: Literal["media", "text"] = Field(
        "media", description="text: the captions only, nothing is downloaded"
    )

    @property
    def joined(self) -> str | None:
        """Path or URL of the list whose captions the rows get; None if there is none."""
        # Of a list that is open it is a model, of a file's source a mapping.
        join = getattr(self, "join", None)
        found = join.get("list") if isinstance(join, Mapping) else getattr(join, "list", None)
        return found if isinstance(found, str) else None

    def with_places(self, place: Callable[[str], str]) -> Source:
        """Return a copy in which every list, and the folder of its media, is where a function says."""
        update: dict[str, Any] = {"list": place(self.list)}
        if self.joined is not None:
            update["join"] = {**getattr(self, "join"), "list": place(self.joined)}  # noqa: B009 - an extra key
        extra = self.model_extra or {}
        update |= {
            key: place(extra[key]) for key in ("files", "class_map") if isinstance(extra.get(key), str)
        }
        return self.model_copy(update=update)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # YAML gives lists; a source stays as it is.
        frozen = {key: tuple(each) if isinstance(each, list) else each for key, each in value.items()}
        if isinstance(join := frozen.get("join"), dict):
            # To YAML 1.1 a bare `on` is a truth value.
            frozen["join"] = {"on" if key is True else key: each for key, each in join.items()}
        return {
            key: each for key, each in frozen.items() if key not in _MAY_BE_EMPTY or each not in (None, ())
        }
