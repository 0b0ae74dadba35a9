"""An entry of a dataset's file that names a loader, or a class of somebody's own."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# A class of somebody's own. ASCII, so that no two names look alike.
_WORD = "[A-Za-z_][A-Za-z0-9_]*"
CLASS_PATTERN = rf"^{_WORD}(\.{_WORD})*:{_WORD}$"


# A loader that lies in pipelines/encode/loaders/, or a class of one's own.
_LOADER_PATTERN = rf"^[a-z][a-z0-9_]*$|{CLASS_PATTERN}"


def _check_loader(name: str) -> str:
    if not re.fullmatch(_LOADER_PATTERN, name):
        raise ValueError("it names neither a loader of ours nor a class; write module:Class")
    return name


class OtherEncoder(BaseModel):
    """An encoder whose keys are the arguments of its loader, which checks them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    loader: Annotated[str, AfterValidator(_check_loader)] = Field(
        description="a loader's name, or module:Class"
    )
