"""The dataset card: Markdown with the front matter that Hugging Face's hub reads."""

from __future__ import annotations

import yaml

from pipelines.report import formatting
from pipelines.report.collect import VersionReport
from schemas.outcome import STATUSES

# The size categories of the hub: an upper limit, exclusive, and its tag.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_LARGEST = "n>1B"


def render_card(report: VersionReport) -> str:
    """Return the card of a version. Text from lists is in code spans, each on one line."""
    version = report.version
    parts = [
        f"---\n{_format_front_matter(report)}\n---",
        f"# {version.name}\n\nVersion {version.number}, published "
        f"{formatting.format_day(version.created)}. Made "
        "by Echolens: every row that its lists hold is counted, and ends in exactly one place.",
        _format_table(
            "Rows",
            ("what", "rows"),
            [
                ("read", version.rows_read),
                ("rejects", version.rejects),
                ("duplicates", version.duplicates),
                ("candidates", version.candidates),
                *(
                    (f"`{status}`", version.outcomes[status])
                    for status in STATUSES
                    if version.outcomes.get(status)
                ),
            ],
        ),
        _format_table(
            "Sources",
            ("list", "candidates"),
            [(f"`{each.source}`", each.candidates) for each in report.sources],
        ),
        _format_table(
            "Vectors",
            ("column", "vectors", "space"),
            [(f"`{norm.column}`", norm.vectors, f"`{norm.space}`") for norm in report.norms],
        ),
        _format_table(
            "Licences",
            ("as the lists say", "rows"),
            [(f"`{_clean_text(name or 'unknown')}`", rows) for name, rows in report.licences.most_common(20)],
        ),
        f"{_USE}\n\n{_ORIENTATIONS[report.orientation]}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _format_front_matter(report: VersionReport) -> str:
    ok = report.version.outcomes.get("ok", 0)
    kinds = [kind for kind, rows in report.ok_by_kind.items() if rows]
    front = {
        "pretty_name": report.version.name,
        "license": "other",
        "license_name": "as-each-row-says",
        "language": sorted(
            code
            for code in report.ok_languages
            if code and code.isascii() and 2 <= len(code) <= 3 and code.isalpha()
        ),
        "size_categories": [next((name for limit, name in _SIZES if ok < limit), _LARGEST)],
        "task_categories": ["feature-extraction"],
        "tags": ["echolens", "webdataset", *(f"{kind}-embeddings" for kind in kinds)],
    }
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()


_USE = """## Use

```python
import glob, webdataset
samples = webdataset.WebDataset(sorted(glob.glob("media/*.tar")), shardshuffle=False).decode("rgb")
```

Vectors are in `vectors/`, as Parquet and as WebDataset tars, unit length in float16; the space of every
column is in the table's metadata. Media belong to whom their rows credit, under the licence that each row
names."""


_ORIENTATIONS = {
    "upright": "Pictures are stored upright, turned as the EXIF of their files says; `exif` then has a tag "
    "`Echolens Orientation`.",
    "as_stored": "Pictures are stored as the pixels of their files are, whatever EXIF says of their "
    "orientation.",
}


def _clean_text(text: str) -> str:
    return formatting.trim_text(text, 60).replace("`", "'").replace("|", "/")


def _format_table(title: str, heads: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    if not rows:
        return ""
    lines = [f"## {title}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_format_cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _format_cell(value: object) -> str:
    return formatting.format_count(value) if isinstance(value, int) else str(value)
