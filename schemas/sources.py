"""A list that a dataset's file names. The keys of each kind are beside its reader, in pipelines/source."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.encoders import CLASS_PATTERN

_KIND_PATTERN = rf"^[a-z][a-z0-9_]*$|{CLASS_PATTERN}"
# A root may hold these keys empty for a kind that does not have them.
_MAY_BE_EMPTY = frozenset({"languages", "labels", "split", "media", "columns"})


def _check_kind(name: str) -> str:
    if not re.fullmatch(_KIND_PATTERN, name):
        raise ValueError("it names neither a kind of list nor a class; write module:Class")
    return name


# A kind that a file of pipelines/source reads, or a class of one's own.
SourceKind = Annotated[str, AfterValidator(_check_kind)]


class Source(BaseModel):
    """One list of rows. Its other keys are those of its kind, which checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: SourceKind = Field(description="of the list, or module:Class")
    list: str = Field(description="path or URL of the list; a folder for folder and img2dataset")
    take: Literal["media", "text"] = Field(
        "media", description="text: the captions only, nothing is downloaded"
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # YAML gives lists; a source stays as it is.
        frozen = {key: tuple(each) if isinstance(each, list) else each for key, each in value.items()}
        return {
            key: each for key, each in frozen.items() if key not in _MAY_BE_EMPTY or each not in (None, ())
        }
