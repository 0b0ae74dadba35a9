"""Write a report (funnel, hosts, link rot, norms, indices, neighbours to see and hear) and a dataset card.

    echolens report /data/animals
    echolens report animals.yaml --query "a dog barking" --query "rain on a roof"
    echolens report s3://bucket/animals --out animals.html

The report is one file, which loads nothing from anywhere; the card, NNNN.md beside it, is Markdown as
Hugging Face's hub reads it. Sample queries are rows of the dataset itself and need no
weights; a --query does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jobs.shared.job import load, run
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset


def write_report(dataset: Dataset, queries: Sequence[str] = (), out: Path | None = None) -> str:
    """Write the report of the current version, and its dataset card beside it; return where the report is.

    Args:
        dataset: of the root.
        queries: texts to ask beside the sample queries.
        out: a file in place of ROOT/reports/NNNN.html.

    Raises:
        EcholensError: there is no version, a query cannot be asked, or nothing can be written there.
    """
    from pipelines.report.card import render_card
    from pipelines.report.collect import collect_report
    from pipelines.report.page import render

    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name a file in it")
    root = Root.from_dataset(dataset)
    report = collect_report(root, dataset, queries)
    place, name = root, f"reports/{report.version.number:04d}.html"
    if out is not None:
        place, name = Root.from_url(str(out.parent)), out.name
    place.write(name, render(report).encode())
    place.write(f"{name.removesuffix('.html')}.md", render_card(report).encode())
    return f"{place.url}/{name}"


def main(argv: Sequence[str]) -> None:
    """Write the report and print where it is."""
    parser = argparse.ArgumentParser(
        prog="echolens report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--out", type=Path, help="the file to write; ROOT/reports/NNNN.html if not given")
    parser.add_argument(
        "--query", action="append", default=[], metavar="TEXT", help="words to ask as well; repeat for more"
    )
    parser.add_argument("--set", help="the set of vectors to tell of; that of the newest build if not given")
    add_trust(parser)
    args = parser.parse_args(argv)
    dataset = load(args.target, trust=read_trust(args))
    dataset = with_vector_set(Root.from_dataset(dataset), dataset, args.set)
    print(write_report(dataset, args.query, args.out))


if __name__ == "__main__":
    run(main)
