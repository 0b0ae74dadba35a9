"""Which column of a table is which: as a user says it, or guessed from its name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipelines.errors import ConfigError
from schemas.strict import StrictModel

# What img2dataset, datasets on the Hub and the lists of the presets call them, the likeliest first.
URL_NAMES = (
    ("url",),
    ("image_url", "img_url", "audio_url", "video_url", "media_url"),
    ("link", "download_link", "uri"),
)
CAPTION_NAMES = (
    ("caption",),
    ("text",),
    ("alt_text", "alt", "alttext"),
    ("sentence", "description", "prompt"),
)
# Of the names, in an error.
_SHOWN = 40
# A column in a template of captions.
FIELD = re.compile(r"\{([^{}]+)\}")


def _take_number(value: object) -> object:
    """Take the number of a column of a list without a header; YAML gives it as one."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ColumnName = Annotated[str, BeforeValidator(_take_number)]


class TableColumns(StrictModel):
    """The names of a table's columns; a role without one is not in the list."""

    url: ColumnName | None = None
    caption: ColumnName | tuple[ColumnName, ...] | None = Field(
        None, description="a column; several, a row each; or a template: '{title}. {description}'"
    )
    id: ColumnName | None = Field(
        None, description="of the media; kept as source_key, and read by id_pattern"
    )
    key: ColumnName | None = Field(
        None, description="a name of one's own for each row: source_key in place of id"
    )
    bytes: ColumnName | None = Field(
        None, description="the media themselves: bytes, or structures with `bytes`"
    )
    width: ColumnName | None = Field(
        None, description="of the picture: one too small by `filter` is not fetched"
    )
    height: ColumnName | None = None
    hash: ColumnName | None = Field(
        None, description="md5, sha1, sha256 or sha512 of the media, in hex: others are invalid"
    )
    start_s: ColumnName | None = None
    end_s: ColumnName | None = None
    length_s: str | float | None = Field(None, description="a column, or the length of all of them")
    language: ColumnName | None = None
    label: ColumnName | None = None
    split: ColumnName | None = None
    licence: ColumnName | None = None
    attribution: ColumnName | None = None
    page_url: ColumnName | None = None


@dataclass(frozen=True)
class FoundColumns:
    """The columns of a list, by what they hold.

    Attributes:
        url: of the media; None where the id says it.
        captions: columns or templates; of several each is a row of its own. Empty for media alone.
        others: role -> column.
        guesses: sentences on what nobody has said.
        bytes: whose cells are the media; None where they are elsewhere.
    """

    url: str | None
    captions: tuple[str, ...]
    others: Mapping[str, str] = field(default_factory=dict)
    guesses: tuple[str, ...] = ()
    bytes: str | None = None


def find_columns(
    said: TableColumns, names: Sequence[str], byte_columns: Collection[str], where: str, *, needs_url: bool
) -> FoundColumns:
    """Return the columns of a list.

    Args:
        said: by the dataset's file.
        names: of the list's columns.
        byte_columns: those of them whose cells are bytes.
        where: the list, for errors.
        needs_url: whether the media are known by a column of URLs alone.

    Raises:
        ConfigError: the list lacks a column that was named, has none of URLs, or has two that could be it.
    """
    guesses: list[str] = []
    url = said.url and find_name(said.url, names, "url", where)
    media = said.bytes and _find_bytes(said.bytes, names, byte_columns, where)
    needs_url = needs_url and media is None
    if url is None and needs_url and (url := _guess(URL_NAMES, names, "url", where)) is None:
        held = "".join(
            f", and {name!r} holds bytes, as in `{{bytes: {name}}}`" for name in [*byte_columns][:1]
        )
        raise ConfigError(
            f"{where} has no column of URLs among {', '.join(names[:_SHOWN])}; name it, as in "
            f"`columns: {{url: ...}}`{held}{describe_first_line(names)}"
        )
    captions = _find_captions(said.caption, names, where)
    if said.url is None and url is not None:
        guesses.append(f"{where}: the URL is column {url!r}")
    if said.caption is None:
        guess = _guess(CAPTION_NAMES, names, "caption", where)
        captions = (guess,) if guess else ()
        named = f"is column {guess!r}" if guess else "is in no column: these are media alone"
        guesses.append(f"{where}: the caption {named}")
    others = {
        role: find_name(name, names, role, where)
        for role, name in said.model_dump(exclude={"url", "caption", "bytes"}).items()
        if isinstance(name, str)
    }
    return FoundColumns(url, captions, others, tuple(guesses), media)


def list_fields(template: str) -> list[str]:
    """Return the columns in a template of captions; empty for the name of a column."""
    return FIELD.findall(template)


def find_name(name: str, names: Sequence[str], role: str, where: str) -> str:
    """Return the column of a name, in whatever case.

    Args:
        name: as a user wrote it.
        names: of the list's columns.
        role: what it is for.
        where: the list, for errors.

    Raises:
        ConfigError: there is none, or several that differ in their case alone.
    """
    if name in names:
        return name
    alike = [each for each in names if each.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise ConfigError(f"{where} has {' and '.join(alike)}; say which of them is the {role}, in its case")
    near = difflib.get_close_matches(name, names, 3, 0.5) or [*names[:_SHOWN]]
    raise ConfigError(
        f"{where} has no column {name!r} for {role}; it has {', '.join(near)}: name one of those"
        f"{describe_first_line(names)}"
    )


def describe_first_line(names: Sequence[str]) -> str:
    """Return what to do where the names of columns are none; empty if they may be some."""
    urls = [number for number, name in enumerate(names) if "://" in name]
    if urls:
        return (
            "; its first line has a URL, so it may be a row: say `header: false` and "
            f"`columns: {{url: {urls[0]}, ...}}`, by their numbers from 0"
        )
    sign = next((sign for sign in ("#", "//", "%") if names and names[0].startswith(sign)), None)
    if sign is None:
        return ""
    return f"; its first line begins with {sign!r}: if it is a comment, say `comment: '{sign}'`"


def _find_bytes(name: str, names: Sequence[str], byte_columns: Collection[str], where: str) -> str:
    found = find_name(name, names, "bytes", where)
    if found not in byte_columns:
        raise ConfigError(
            f"{where}: the cells of {found!r} are no bytes; name a column of a Parquet file whose cells are "
            "bytes, or structures with `bytes`"
        )
    return found


def _find_captions(said: str | tuple[str, ...] | None, names: Sequence[str], where: str) -> tuple[str, ...]:
    found = []
    for each in (said,) if isinstance(said, str) else said or ():
        fields = list_fields(each) if each not in names else []
        for name in fields:
            find_name(name, names, "caption", where)
        found.append(each if fields else find_name(each, names, "caption", where))
    return tuple(found)


def _guess(
    tiers: Sequence[Sequence[str]], names: Sequence[str], role: Literal["url", "caption"], where: str
) -> str | None:
    for tier in tiers:
        found = [name for name in names if name.strip().lower() in tier]
        if len(found) > 1:
            raise ConfigError(
                f"{where} has {' and '.join(found)}, which could both be the {role}; "
                f"say which, as in `columns: {{{role}: {found[0]}}}`"
            )
        if found:
            return found[0]
    return None
