"""Write the vectors of a dataset for another tool.

echolens export /data/animals --to clip-retrieval /data/animals_clip
echolens export s3://bucket/animals --to clip-retrieval vectors --family clap
clip-retrieval index --embeddings_folder /data/animals_clip --index_folder /data/index
echolens export /data/animals --to my_export:Mine out key=value      # an export of your own, docs/extend.md

The folder of clip-retrieval holds img_emb/*.npy (audio_emb for clap), text_emb/*.npy and metadata/*.parquet,
row by row the same sample. Rows that lack a vector and rows that are gone are left out. Nothing is
overwritten.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.shared.arguments import add_working_folder, parse_pairs
from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress
from jobs.shared.trust import add_trust, read_trust
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.export.version import ExportCounts


def export(dataset: Dataset, to: str, into: Path, options: Mapping[str, Any]) -> ExportCounts:
    """Write the current version, and return how many rows were written."""
    from pipelines.export.registry import make_export, write_export
    from pipelines.export.version import ExportedVersion
    from pipelines.store import versions

    exporter = make_export(to, options)
    root = Root.from_dataset(dataset)
    exported = ExportedVersion(root, dataset.shard_rows, versions.read_current(root, dataset.encode.set))
    with ReadProgress() as progress:
        return write_export(exporter, exported, into, lambda rows: progress.show_rows("vectors", rows))


def main(argv: Sequence[str]) -> None:
    """Export, and print how many rows."""
    parser = argparse.ArgumentParser(
        prog="echolens export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument(
        "--to", required=True, metavar="NAME", help="clip-retrieval, or module:Class of your own"
    )
    parser.add_argument("into", metavar="DIR", type=Path, help="a folder that is not there yet")
    parser.add_argument("options", nargs="*", metavar="key=value", help="options of the export")
    parser.add_argument("--family", metavar="FAMILY", help="family=FAMILY: clip if not given; or clap, ...")
    parser.add_argument("--set", help="the set of vectors; that of the newest build if not given")
    add_trust(parser)
    args = parser.parse_intermixed_args(argv)
    options = parse_pairs(args.options, "an option of an export")
    if args.family is not None:
        options["family"] = args.family
    if ":" in args.to:
        add_working_folder()
    dataset = load(args.target, trust=read_trust(args))
    dataset = with_vector_set(Root.from_dataset(dataset), dataset, args.set)
    counts = export(dataset, args.to, args.into, options)
    left = f"; {counts.without} rows lack a vector and were left out" if counts.without else ""
    print(f"{counts.rows} rows in {counts.parts} parts in {args.into}{left}")


if __name__ == "__main__":
    run(main)
