"""The media that generators make."""

from __future__ import annotations

from typing import Literal

Medium = Literal["sound", "picture", "text"]
