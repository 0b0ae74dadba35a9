"""Templates of URLs that replace those of YouTube: `file:///mirror/{youtube_id}_{start_s:06d}.mp4`.

Fields and formats are those of Python's `str.format`. SQL fills them in; its `format` numbers its arguments
and has the same formats for whole numbers.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipelines.errors import ConfigError
from pipelines.source.listing import ListSource

# An optional width, with or without leading zeros.
_WHOLE_NUMBER = re.compile(r"0?\d{0,3}d?")


class ClipSource(ListSource):
    """A list of clips on YouTube."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "youtube"

    media: str | None = Field(
        None,
        description="where a clip is, in place of YouTube: a template over youtube_id, start_s, label; one "
        "without start_s names whole recordings",
    )

    @property
    def template(self) -> str | None:
        """See `ListSource`."""
        return self.media

    def list_places(self) -> Sequence[str]:
        """See `ListSource`: the folder that the template names, whatever fills its fields."""
        if self.media is None:
            return ()
        return (f"{self.media.partition('{')[0].rpartition('/')[0]}/",)


def to_sql(template: str | None, fields: Sequence[str]) -> str | None:
    """Return a template with its fields numbered, as SQL's `format` requires.

    Args:
        template: as a user wrote it; None stays None.
        fields: the names that may be used, in the order of the arguments.

    Raises:
        ConfigError: the template is no URL, or has an unknown field or format.
    """
    if template is None:
        return None
    if "://" not in template:
        raise ConfigError(
            f"media template {template!r} is no URL; begin it with http://, https:// or file:///"
        )
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"media template {template!r} cannot be read ({error}); pair its braces") from error
    numbered = ""
    for literal, name, form, conversion in parts:
        numbered += literal.replace("{", "{{").replace("}", "}}")
        if name is None:
            continue
        if name not in fields or conversion:
            known = ", ".join(f"{{{field}}}" for field in fields)
            raise ConfigError(
                f"media template {template!r} has {{{name}}}, but a row has only {known}; use those"
            )
        if form and not (name == "start_s" and _WHOLE_NUMBER.fullmatch(form)):
            raise ConfigError(
                f"media template {template!r} has the format {form!r} for {name}, "
                "but only start_s can have one, such as 06d; take it out"
            )
        numbered += f"{{{fields.index(name)}{':' + form if form else ''}}}"
    return numbered
