"""Families of encoders, the modalities that each embeds, and the columns of vectors that follow from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

from schemas.candidate import Kind

Modality = Literal["image", "text", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
Family = str

# The families that every dataset's file can name, in the order of their columns. A file may name others: what
# one of those embeds, its encoder says.
FAMILIES: Mapping[Family, tuple[Modality, ...]] = {"clip": ("image", "text"), "clap": ("text", "audio")}

# What the rows of a kind have to embed; the other columns of these rows are null.
MODALITIES_OF_KIND: Mapping[Kind, tuple[Modality, ...]] = {
    "image": ("image", "text"),
    "clip": ("image", "text", "audio"),
    "text": ("text",),
}

_FAMILY = re.compile(r"[a-z][a-z0-9]{0,31}")
_ORDER: Mapping[Modality, int] = {modality: number for number, modality in enumerate(MODALITIES)}
# The column that a query searches if it names none and a dataset has this one.
DEFAULTS: Mapping[Modality, str] = {"image": "clip_image", "text": "clip_image", "audio": "clap_audio"}


def is_family(name: str) -> bool:
    """Return whether a name can be that of a family: lower-case letters and digits."""
    return _FAMILY.fullmatch(name) is not None


def is_column(name: str) -> bool:
    """Return whether a name is that of a column: FAMILY_MODALITY."""
    family, _, modality = name.rpartition("_")
    return is_family(family) and modality in MODALITIES


def check_column(name: str) -> str:
    """Return the name of a column.

    Raises:
        ValueError: the name is not that of a column.
    """
    if not is_column(name):
        raise ValueError(
            f"{name[:80]!r} names no column; write FAMILY_MODALITY, as in clip_image or clap_audio"
        )
    return name


Column = Annotated[str, AfterValidator(check_column)]


def make_column(family: Family, modality: Modality) -> Column:
    """Return the column of a family for a modality."""
    return f"{family}_{modality}"


def get_family(column: Column) -> Family:
    """Return the family that a column's name begins with."""
    return column.rpartition("_")[0]


def get_modality(column: Column) -> Modality:
    """Return what the vectors of a column are made from."""
    name = column.rpartition("_")[2]
    return next(modality for modality in MODALITIES if modality == name)


def list_columns(family: Family, modalities: Iterable[Modality] | None = None) -> tuple[Column, ...]:
    """Return the columns of a family.

    Args:
        family: any.
        modalities: that it embeds; those of the table if None.
    """
    found = FAMILIES.get(family, ()) if modalities is None else modalities
    return tuple(make_column(family, modality) for modality in found)


# The columns of the families above: a table of vectors has them first, and in this order.
COLUMNS: tuple[Column, ...] = tuple(column for family in FAMILIES for column in list_columns(family))


def sort_columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return columns in the order in which tables and pages have them: known ones, then others by family."""
    unique = set(columns)
    others = unique.difference(COLUMNS)
    by_family = sorted(others, key=lambda column: (get_family(column), _ORDER[get_modality(column)]))
    return (*(column for column in COLUMNS if column in unique), *by_family)


def is_embedded(kind: Kind, column: Column) -> bool:
    """Return whether rows of a kind have what a column's encoder embeds."""
    return get_modality(column) in MODALITIES_OF_KIND[kind]


def has_column(kind: Kind, column: Column) -> bool:
    """Return whether rows of a kind can have a vector in a column.

    Rows without media may have any: a list may bring vectors of media that are nowhere fetched.
    """
    return kind == "text" or is_embedded(kind, column)


def find_default(modality: Modality, columns: Iterable[Column]) -> Column:
    """Return the column that a query searches if it names none.

    Args:
        modality: of the query.
        columns: that it can search. If the usual one is not among them, one of its modality is taken, else
            the first with media.
    """
    usual = DEFAULTS[modality]
    there = sort_columns(columns)
    if usual in there or not there:
        return usual
    alike = [column for column in there if get_modality(column) == get_modality(usual)]
    media = [column for column in there if get_modality(column) != "text"]
    return (alike or media or there)[0]
