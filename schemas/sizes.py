"""Sizes in bytes, as a person writes them: 50000000, 50MB, 4GiB."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field

# Digits are bounded: a larger size than 8 EiB is none, and 400 digits are no finite number.
_SIZE = re.compile(r"\s*\d{1,15}(\.\d{1,9})?\s*([kmgt]i?b|b)?\s*", re.IGNORECASE)


def _check_size(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and not _SIZE.fullmatch(value)):
        raise ValueError("a size is a number of bytes, or such as 50MB or 4GiB")
    return value


Size = Annotated[ByteSize, BeforeValidator(_check_size), Field(ge=1, le=2**62)]
