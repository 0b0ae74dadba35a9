"""How a dataset changed from version to version: what came, and which links rotted."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.store import versions
from pipelines.store.root import Root
from schemas.version import Version

# Versions that a page shows at most, the newest.
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """One version beside the one before it.

    Attributes:
        number: of the version.
        created: UTC, ISO 8601.
        candidates: that its lists had.
        ok: rows that came through.
        dead: candidates that are gone.
        more_ok: rows that came through beyond those of the version before, net; None for the first.
        more_dead: candidates that are dead beyond those of the version before, net; None for the first.
        missing: samples whose link was dead once, and gets another chance.
    """

    number: int
    created: str
    candidates: int
    ok: int
    dead: int
    more_ok: int | None
    more_dead: int | None
    missing: int


def list_versions(root: Root, set_name: str) -> list[VersionDiff]:
    """Return the versions of a set, the oldest first."""
    every = [versions.read_version(root, number) for number in versions.list_numbers(root)]
    of_set = [version for version in every if version.set == set_name][-_SHOWN - 1 :]
    pairs = zip([None, *of_set], of_set, strict=False)
    found = [_past(before, version) for before, version in pairs]
    return found[-_SHOWN:]


def _past(before: Version | None, version: Version) -> VersionDiff:
    def ok(of: Version) -> int:
        return of.outcomes.get("ok", 0)

    def dead(of: Version) -> int:
        return of.outcomes.get("dead", 0)

    return VersionDiff(
        number=version.number,
        created=version.created,
        candidates=version.candidates,
        ok=ok(version),
        dead=dead(version),
        more_ok=ok(version) - ok(before) if before else None,
        more_dead=dead(version) - dead(before) if before else None,
        missing=version.missing,
    )
