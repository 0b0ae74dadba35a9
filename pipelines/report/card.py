"""The dataset card: Markdown with the front matter that Hugging Face's hub reads."""

from __future__ import annotations

import yaml

from pipelines.report import formatting
from pipelines.report.collect import VersionReport
from schemas.outcome import STATUSES

# The hub's own steps: datasets below and above each.
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
    """Return the card of a version. What comes from a list stands in code spans, on one line each."""
    version = report.version
    parts = [
        f"---\n{_front(report)}\n---",
        f"# {version.name}\n\nVersion {version.number}, published "
        f"{formatting.format_day(version.created)}. Made "
        "by Echolens: every row that its lists hold is counted, and ends in exactly one place.",
        _table(
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
        _table(
            "Sources", ("list", "candidates"), [(f"`{one.source}`", one.candidates) for one in report.sources]
        ),
        _table(
            "Vectors",
            ("column", "vectors", "space"),
            [(f"`{norm.column}`", norm.vectors, f"`{norm.space}`") for norm in report.norms],
        ),
        _table(
            "Licences",
            ("as the lists say", "rows"),
            [(f"`{_plain(name or 'unknown')}`", rows) for name, rows in report.licences.most_common(20)],
        ),
        _USE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(report: VersionReport) -> str:
    ok = report.version.outcomes.get("ok", 0)
    kinds = [kind for kind, rows in report.through.items() if rows]
    front = {
        "pretty_name": report.version.name,
        "license": "other",
        "license_name": "as-each-row-says",
        "language": sorted(
            code for code in report.kept if code and code.isascii() and 2 <= len(code) <= 3 and code.isalpha()
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


def _plain(text: str) -> str:
    return formatting.trim_text(text, 60).replace("`", "'").replace("|", "/")


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    if not rows:
        return ""
    lines = [f"## {title}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return formatting.format_count(value) if isinstance(value, int) else str(value)
