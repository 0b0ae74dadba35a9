"""`X-Robots-Tag` headers: whether a host forbids the use of its media in datasets."""

from __future__ import annotations

from collections.abc import Iterable

# Directives that say: not for datasets. img2dataset's list.
UNWANTED = frozenset({"noai", "noimageai", "noindex", "noimageindex"})
_OUR_NAME = "echolens"


def has_unwanted_directive(tags: Iterable[str]) -> bool:
    """Return whether `X-Robots-Tag` headers forbid the use of media, to all robots or to us by name."""
    for tag in tags:
        name, colon, rest = tag.partition(":")
        # `robot: a, b` is for that robot alone; `a, unavailable_after: date` names no robot.
        addressed = bool(colon) and "," not in name and name.strip().lower() != "unavailable_after"
        if addressed and name.strip().lower() not in {_OUR_NAME, "*"}:
            continue
        directives = (rest if addressed else tag).lower().split(",")
        if not UNWANTED.isdisjoint(directive.strip() for directive in directives):
            return True
    return False
