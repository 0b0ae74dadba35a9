"""Where clips are, in place of YouTube: `file:///mirror/{youtube_id}_{start_s:06d}.mp4`.

Names and formats are those of Python's `str.format`. The rows are filled in by SQL, whose `format` counts
its arguments and reads the same formats of whole numbers.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from pipelines.errors import ConfigError

# An optional width, with or without zeros in front.
_WHOLE_NUMBER = re.compile(r"0?\d{0,3}d?")


def to_sql(template: str | None, fields: Sequence[str]) -> str | None:
    """Return the template with numbers for names, as SQL's `format` wants it.

    Args:
        template: as a person wrote it; None stays None.
        fields: what may be filled in, in the order of the arguments.

    Raises:
        ConfigError: the template is no URL, or has a field or format that cannot be filled in.
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
    written = ""
    for literal, name, form, conversion in parts:
        written += literal.replace("{", "{{").replace("}", "}}")
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
        written += f"{{{fields.index(name)}{':' + form if form else ''}}}"
    return written
