"""The generator that a dataset's file names, and the keys that it may have."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from schemas.custom_loader import CLASS_PATTERN
from schemas.encoders import Commit
from schemas.strict import StrictModel

# Of the generators that ship one has a model here, which gives defaults and checks keys before any import.
_AUDIOLDM = r"^audioldm(:[a-z0-9][a-z0-9_.-]*)?$"
_GENERATOR_PATTERN = r"^[a-z][a-z0-9_-]*(:[a-z0-9][a-z0-9_.-]*)?$"


def is_generator_class(name: str) -> bool:
    """Return whether a generator's name is a class, module:Class, and no NAME:TRAINED.

    What is trained has a name in lower-case letters, so a class begins with a capital one.
    """
    return re.fullmatch(CLASS_PATTERN, name) is not None and name.rpartition(":")[2][0].isupper()


def _check_generator(name: str) -> str:
    if not re.fullmatch(_GENERATOR_PATTERN, name) and not is_generator_class(name):
        raise ValueError(
            "it names neither a generator nor a class; write NAME, NAME:TRAINED, or module:Class with a "
            "capital letter"
        )
    return name


class GeneratorEntry(StrictModel):
    """The generator `audioldm`: an AudioLDM that diffusers saved makes sounds of vectors."""

    name: str = Field(
        "audioldm", pattern=_AUDIOLDM, description="audioldm, or audioldm:TRAINED for one trained here"
    )
    weights: str = Field("pocket", description="pocket, a folder, or a repository of the hub")
    revision: Commit | None = Field(None, description="a commit of the repository, never a branch")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_rows: int = Field(8, ge=1, le=256, description="sounds of every forward")

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the usual name, so that what was written before it was a key stays as it is."""
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key != "name" or value != "audioldm"}


class OtherGenerator(BaseModel):
    """A generator whose keys are the arguments of its class, which checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Annotated[str, AfterValidator(_check_generator)] = Field(
        description="a generator's name, NAME:TRAINED for one trained here, or module:Class"
    )


def _choose_by_name(value: Any) -> str:
    name = value.get("name", "audioldm") if isinstance(value, dict) else getattr(value, "name", "audioldm")
    return "GeneratorEntry" if str(name).partition(":")[0] == "audioldm" else "OtherGenerator"


AnyGenerator = Annotated[
    Annotated[GeneratorEntry, Tag("GeneratorEntry")] | Annotated[OtherGenerator, Tag("OtherGenerator")],
    Discriminator(_choose_by_name),
]
