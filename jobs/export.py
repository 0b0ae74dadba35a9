"""Write the vectors of a dataset for another tool.

echolens export /data/animals --to clip-retrieval /data/animals_clip
echolens export s3://bucket/animals --to clip-retrieval vectors --family clap
clip-retrieval index --embeddings_folder /data/animals_clip --index_folder /data/index

The folder holds img_emb/*.npy (audio_emb for clap), text_emb/*.npy and metadata/*.parquet, row by row the
same sample. Rows that lack a vector and rows that are gone are left out. Nothing is overwritten.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.job import add_trust, load, run
from jobs.shared.progress import ReadProgress
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.families import Family

if TYPE_CHECKING:
    from pipelines.export.clip_retrieval import ExportCounts


def export(dataset: Dataset, into: Path, family: Family) -> ExportCounts:
    """Write the vectors of the current version, and return how many rows were written."""
    from pipelines.export.clip_retrieval import ClipRetrievalExport
    from pipelines.store import versions

    root = Root.from_url(dataset.root)
    exporter = ClipRetrievalExport(
        root, dataset.shard_rows, versions.read_current(root, dataset.encode.set), family
    )
    with ReadProgress() as progress:
        return exporter.write(into, lambda rows: progress.show_rows("vectors", rows))


def main(argv: Sequence[str]) -> None:
    """Export, and print how many rows."""
    parser = argparse.ArgumentParser(
        prog="echolens export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--to", required=True, choices=["clip-retrieval"], help="whose layout")
    parser.add_argument("into", metavar="DIR", type=Path, help="a folder that is not there yet")
    parser.add_argument("--family", metavar="FAMILY", default="clip", help="clip if not given; or clap, ...")
    parser.add_argument("--set", help="the set of vectors; that of the newest build if not given")
    add_trust(parser)
    args = parser.parse_args(argv)
    dataset = load(args.target, trust=args.trust)
    dataset = with_vector_set(Root.from_url(dataset.root), dataset, args.set)
    counts = export(dataset, args.into, args.family)
    left = f"; {counts.without} rows lack a vector and were left out" if counts.without else ""
    print(f"{counts.rows} rows in {counts.parts} parts in {args.into}{left}")


if __name__ == "__main__":
    run(main)
