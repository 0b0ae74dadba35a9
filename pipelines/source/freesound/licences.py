"""Licences of Freesound: an answer has the address of the deed, a filter the name."""

from __future__ import annotations

import re
from collections.abc import Mapping

# As datasets name them -> as a filter names them, every version together.
FILTERS: Mapping[str, str] = {
    "CC0": "Creative Commons 0",
    "CC-BY": "Attribution",
    "CC-BY-NC": "Attribution NonCommercial",
    "CC-Sampling+": "Sampling+",
}
_DEED = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(?:licenses/(by|by-nc|sampling\+)|publicdomain/(zero))"
    r"/(\d+(?:\.\d+)?)/?(?:deed\.\w+)?",
    re.IGNORECASE,
)
_NAMES: Mapping[str, str] = {
    "zero": "CC0", "by": "CC-BY", "by-nc": "CC-BY-NC", "sampling+": "CC-Sampling+",
}  # fmt: skip


def name_licence(address: str) -> str:
    """Return a licence by name and version, as in CC-BY-4.0; the address of one that is not known."""
    match = _DEED.fullmatch(address.strip())
    return f"{_NAMES[(match[1] or match[2]).lower()]}-{match[3]}" if match else address


def is_of(licence: str, name: str) -> bool:
    """Return whether a licence, with its version, is one of a name, as in CC-BY."""
    return re.fullmatch(rf"{re.escape(name)}-\d+(\.\d+)?", licence) is not None
