"""Times as they are stored: UTC, ISO 8601."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator


def _check_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is no time; it is such as 2026-01-31T12:00:00+00:00") from error
    return text


IsoTime = Annotated[str, AfterValidator(_check_time)]
