"""From candidates to samples: the numbers of a root and how they are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.errors import StorageError
from pipelines.store.root import Root
from schemas.outcome import STATUSES

if TYPE_CHECKING:
    from schemas.version import Version

_VERSION_FIELDS = (
    "rows_read", "rejects", "duplicates", "candidates", "outcomes", "reasons", "vectors",
    "unlisted", "superseded",
)  # fmt: skip


def read_state(root: Root, set_name: str) -> dict[str, Any]:
    """Return the numbers of a root: those of its current version, or of a build under way."""
    from pipelines.store import plans, versions
    from pipelines.store.counts import build_overlay, count
    from pipelines.store.dataset_file import read_spaces
    from schemas.version import TOMBSTONE

    # What a list calls the spaces of its vectors.
    named = {column: space.listed_name for column, space in read_spaces(root, set_name).items()}
    spaces = {column: name for column, name in named.items() if name is not None}
    if version := versions.find_current(root, set_name):
        return _read_version(root, version) | ({"spaces": spaces} if spaces else {})
    if not plans.list_folders(root):
        raise StorageError(f"{root.url} has no plan yet; run `echolens build` on its file first")
    plan = plans.list_folders(root)[-1]
    listed = plans.read_counts(root, plan)
    overlay = build_overlay(plans.read_superseded(root), plans.read_unlisted(root), TOMBSTONE.empty_table())
    counts = count(root, set_name, plans.list_shards(root), plan, overlay)
    return {
        "name": None,
        "root": root.url,
        "version": None,
        "rows_read": listed.rows_read,
        "rejects": listed.rejects,
        "duplicates": listed.duplicates,
        "candidates": listed.candidates,
        "pending": counts.pending,
        "outcomes": dict(counts.outcomes),
        "reasons": dict(counts.reasons),
        "vectors": dict(counts.vectors),
        **({"spaces": spaces} if spaces else {}),
    }


def _read_version(root: Root, version: Version) -> dict[str, Any]:
    fields = version.model_dump(include=set(_VERSION_FIELDS))
    return {"name": version.name, "root": root.url, "version": version.number, "pending": 0, **fields}


def format_funnel(numbers: dict[str, Any]) -> str:
    """Return the numbers as a table: candidates -> ok, with every other outcome by reason."""
    candidates = max(numbers["candidates"], 1)
    version = f"version {numbers['version']}" if numbers["version"] else "not published yet"
    lines = [
        f"{numbers['root']}, {version}",
        f"{numbers['rows_read']:>10,} rows read = {numbers['candidates']:,} candidates"
        f" + {numbers['rejects']:,} rejects + {numbers['duplicates']:,} duplicates",
        f"{numbers['candidates']:>10,} candidates",
    ]
    if numbers["pending"]:
        lines.append(f"{numbers['pending']:>10,}   pending")
    for status in STATUSES:
        total = numbers["outcomes"].get(status, 0)
        if not total:
            continue
        lines.append(f"{total:>10,}   {status:<10}{total / candidates:>6.1%}")
        reasons = {reason: n for reason, n in numbers["reasons"].items() if reason.startswith(f"{status}/")}
        lines += [
            f"{count:>10,}     {reason.split('/')[1]}"
            for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ]
    spaces = numbers.get("spaces", {})
    vectors = ", ".join(
        f"{column} {count:,}{f' in space {spaces[column]!r}' if column in spaces else ''}"
        for column, count in sorted(numbers["vectors"].items())
    )
    lines.append(f"   vectors   {vectors or 'none yet'}")
    return "\n".join(lines)
