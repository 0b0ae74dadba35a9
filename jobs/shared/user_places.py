"""`~` and $NAME in the places of a dataset's file: the root, the lists, and what lies beside them.

They are expanded in a file that a person wrote, never in one of a root: whoever made that would learn what
the environment of others holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError

_NAME = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
# A query may have a $ of its own, as in ?$top=10.
_WEB = ("http://", "https://")


def expand_places(content: dict[str, Any], given: Collection[str] | None = None) -> dict[str, Any]:
    """Return the content of a dataset's file with its root and lists expanded.

    Args:
        content: as it was read, not yet validated.
        given: keys whose values the person who runs this gives; None for all.

    Raises:
        ConfigError: a name is not in the environment, or a root's own file has one.
    """
    expanded: dict[str, Any] = dict(content)
    for key, holder, name in _list_places(expanded):
        text = holder[name]
        if text.startswith(_WEB) or not ("$" in text or text.startswith("~")):
            continue
        if given is not None and not any(key == each or key.startswith(f"{each}.") for each in given):
            raise ConfigError(
                f"{key}: {text!r} needs this machine's environment, which is not told to a file inside of a "
                "root; write the whole path"
            )
        holder[name] = _expand(key, text)
    return expanded


def _list_places(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the key of each place, and where it is; sources are copied, as they are about to change."""
    if isinstance(content.get("root"), str):
        yield "root", content, "root"
    if not isinstance(content.get("sources"), list):
        return
    content["sources"] = [dict(each) if isinstance(each, dict) else each for each in content["sources"]]
    for number, source in enumerate(content["sources"]):
        if not isinstance(source, dict):
            continue
        for name in ("list", "files"):
            if isinstance(source.get(name), str):
                yield f"sources.{number}.{name}", source, name
        if isinstance(join := source.get("join"), dict) and isinstance(join.get("list"), str):
            source["join"] = dict(join)
            yield f"sources.{number}.join.list", source["join"], "list"


def _expand(key: str, text: str) -> str:
    def read(found: re.Match[str]) -> str:
        name = found[2] or found[3]
        if name is None:
            return "$"
        if not (value := os.environ.get(name)):
            state = "is empty" if name in os.environ else "is not set"
            raise ConfigError(
                f"{key}: ${name} {state} in the environment; set it, or write $$ where a dollar sign is meant"
            )
        return value

    expanded = _NAME.sub(read, text)
    if "://" in expanded:
        return expanded
    try:
        return str(Path(expanded).expanduser()) if expanded.startswith("~") else expanded
    except RuntimeError as error:
        raise ConfigError(f"{key}: there is no home folder for {text!r}; write the whole path") from error
