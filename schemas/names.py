"""Names that become parts of paths, checked where a file of a root is parsed."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

# Controls of C0 and C1, and halves of surrogate pairs, which no file system takes.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_one_line(text: str) -> bool:
    """Return whether a text has neither line breaks nor other control characters."""
    return _BREAK.search(text) is None


def find_name_problem(name: str) -> str | None:
    """Return why a name is no path below a folder, as the end of a sentence; None if it is one."""
    if _CONTROL.search(name):
        return "has a control character"
    if "\\" in name:
        return "has a backslash"
    parts = name.split("/")
    if not parts[0]:
        return "is absolute or empty"
    if "" in parts:
        return "has an empty part"
    if "." in parts or ".." in parts:
        return "has a part that is . or .."
    return None


def check_name(name: str, more: str) -> str:
    """Return a name that a person gave, if files and sets may have it.

    Args:
        name: that was given.
        more: the characters that it may have beside letters and digits.

    Raises:
        ValueError: it has others; the message has the nearest name that would do.
    """
    if not re.fullmatch(rf"[a-z0-9][a-z0-9{re.escape(more)}]*", name):
        near = re.sub(rf"[^a-z0-9{re.escape(more)}]+", "-", name.lower()).lstrip("_.-").rstrip("-")[:40]
        raise ValueError(
            f"a name has lower-case letters a to z, digits, {' '.join(more)}, and begins with a letter or "
            f"digit: {near or 'animals'}"
        )
    return name


def _check_path(path: str) -> str:
    if problem := find_name_problem(path):
        raise ValueError(f"a path below a folder is wanted, and this one {problem}")
    return path


# A file or folder below a root: relative, without `..`.
RelativePath = Annotated[str, AfterValidator(_check_path)]
# One part of a path: the name of a model, a translator, a run.
PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
# A sha256 names files, too; it is empty until the file is written.
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


def _take_one(value: object) -> object:
    return (value,) if isinstance(value, str) else value


# Texts, of which one may stand alone.
Texts = Annotated[tuple[str, ...], BeforeValidator(_take_one)]
