"""Build a dataset: source -> fetch -> filter -> encode -> index. What is there already is not done again.

echolens build animals.yaml
echolens build animals.yaml root=/tmp/try fetch.timeout_s=5
echolens build animals.yaml --verify
echolens build animals.yaml --address http://head:8265
ray job submit --working-dir . -- python -m jobs.build animals.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs.shared.dataset_build import build, check_samples, warn_shortfalls
from jobs.shared.funnel import format_funnel, read_state
from jobs.shared.job import load, run
from jobs.shared.submit import add_address, submit
from jobs.shared.trust import add_trust, read_trust
from pipelines.store.root import Root


def main(argv: Sequence[str]) -> None:
    """Build, and show what became of every row."""
    parser = argparse.ArgumentParser(
        prog="echolens build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="the dataset's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--verify", action="store_true", help="read all files; make damaged ones again")
    add_trust(parser)
    add_address(parser)
    args = parser.parse_intermixed_args(argv)
    if args.address:
        flags = ["--verify"] if args.verify else []
        sys.exit(submit(args.address, "build", args.file, args.overrides, flags, trust=read_trust(args)))
    dataset = load(args.file, args.overrides, read_trust(args))
    version = build(dataset, args.verify)
    warn_shortfalls(dataset, version)
    print(format_funnel(read_state(Root.from_dataset(dataset), dataset.encode.set)))
    check_samples(dataset, version)


if __name__ == "__main__":
    run(main)
