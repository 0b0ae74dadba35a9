"""What a user should know of the rows of a list before they are fetched, as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipelines.source.listing import ListSource
from schemas.outcome import format_outcome
from schemas.plan import JoinedCounts, RowCounts, describe_most

# What to do about rows that are not taken, by the reason that most of them have.
_ADVICE: Mapping[str, str] = {
    "filtered/where": "see what `where` compares, as its columns may hold other values",
    "filtered/language": "see `languages`",
    "filtered/label": "see `labels`",
    "filtered/split": "see `split`",
    "filtered/no_caption": "name the column that has the captions, as in `columns: {caption: ...}`",
    "filtered/no_media": "give shards whose `status` says success",
    "filtered/no_picture": "give the lists that the clips came from",
    "filtered/too_small": "see `filter.min_side_px` and the columns of width and height",
    "filtered/too_stretched": "see `filter.max_aspect` and the columns of width and height",
    "invalid/changed": "see the column of `hash`, or leave it out",
    "link_out": "put the files themselves there",
    "blocked/link_out": "put the files themselves there",
    "duplicate_member": "rename the members, as the name of a sample ends at its first point and each of its "
    "endings is one member",
    "columns": "see how its fields are separated and quoted",
    "encoding": "save it as UTF-8",
    "hash": "see the column of `hash`, which has md5, sha1, sha256 or sha512 in hex",
    "json": "write one JSON object a line, or say its `format:`",
    "local_file": "say which folder they are below, as in `files: clips`",
    "nested": "say `explode:` if each item of a list is a text, or name a column of texts",
    "no_scheme": "write whole URLs without quotes, as in https://a.example/x.jpg; a first line with the "
    "names of columns is a header",
    "no_url": "name the column that has the URLs, as in `columns: {url: ...}`",
    "path_out": "say which folder they are below, as in `files: clips`",
    "quotes": "see `quote:`",
    "store": 'say which buckets they are in, as in `stores: ["s3://bucket/"]`',
}
_REMOTE_ADVICE = (
    "a list of another machine may name none, so write whole URLs in it, or download it and say `files:`"
)
_OTHER_ADVICE = "see plan/ of the root and `echolens status`, which say it of every row"


def get_advice(reason: str) -> str:
    """Return what to do about rows that are not taken for a reason, such as filtered/where or reject/json."""
    return _ADVICE.get(reason.removeprefix("reject/"), _OTHER_ADVICE)


def list_warnings(source: ListSource, counts: RowCounts, joined: JoinedCounts | None) -> list[str]:
    """Return what a user should know of a list's rows.

    Args:
        source: the list.
        counts: of its rows.
        joined: of the list whose captions they got.
    """
    warnings, rejects = list[str](), counts.reject_reasons
    if clips := counts.filtered.get("no_picture"):
        warnings.append(
            f"{source.list}: {clips:,} rows are clips, which this kind of list does not take; "
            "give the lists that they came from"
        )
    if local := rejects.get("local_file"):
        is_here = "://" not in source.list or source.list.startswith("file://")
        advice = _ADVICE["local_file"] if is_here else _REMOTE_ADVICE
        warnings.append(f"{source.list}: {local:,} rows name files of this machine; {advice}")
    if bare := rejects.get("no_scheme"):
        warnings.append(f"{source.list}: {bare:,} rows have no URL but another text; {_ADVICE['no_scheme']}")
    if hidden := rejects.get("duplicate_member"):
        warnings.append(
            f"{source.list}: {hidden:,} members are not taken, as their samples have others of the same name "
            f"up to the first point; {_ADVICE['duplicate_member']}"
        )
    if stored := rejects.get("store"):
        warnings.append(f"{source.list}: {stored:,} rows name objects of other stores; {_ADVICE['store']}")
    if counts.duplicates and not counts.candidates:
        warnings.append(f"{source.list}: every row is in an earlier list, so none is taken from here")
    if joined is not None and joined.rejects:
        warnings.append(
            f"{source.list}: {joined.rejects:,} of {joined.rows_read:,} rows of the joined list "
            f"{joined.list} cannot be read ({describe_most(joined.reject_reasons)}); a build lists them"
        )
    if lost := _describe_loss(source, counts):
        warnings.append(lost)
    return warnings


def _describe_loss(source: ListSource, counts: RowCounts) -> str | None:
    """Return why no row of a list is taken; None if one is, or all are duplicates."""
    wanted = counts.candidates - sum(counts.filtered.values())
    reasons = Counter({format_outcome("filtered", reason): n for reason, n in counts.filtered.items()})
    reasons.update(counts.reject_reasons)
    if wanted or not reasons:
        return None
    most = min(reasons, key=lambda each: (-reasons[each], each))
    preset = getattr(source, "preset", None)
    named = f", or leave preset {preset!r} out if the list is another" if preset else ""
    return (
        f"{source.list}: none of its {counts.rows_read:,} rows is taken, {reasons[most]:,} of them because "
        f"of {most!r}; {get_advice(most)}{named}"
    )
