"""Flags of a command line that stand for parameters of a generator.

A file below pipelines/generate/ offers them, as in `FLAGS = {"label": ParamFlag("--class", help="...")}`; any
parameter can be given by `--param` as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pipelines.store.classes import iterate_offers


@dataclass(frozen=True)
class ParamFlag:
    """A flag.

    Attributes:
        flag: as it is written.
        help: of it.
        metavar: of its value.
        count: of its values; 1 for a value, more for a list of so many.
    """

    flag: str
    help: str
    metavar: str
    count: int = 1


@cache
def list_flags() -> Mapping[str, ParamFlag]:
    """Return parameter -> its flag, of the generators that ship."""
    return {name: flag for name, _, flag in iterate_offers("pipelines.generate", "FLAGS")}
