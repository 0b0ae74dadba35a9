"""Look at what this machine has of what a dataset needs, and say what to do about the rest.

echolens doctor                          # ffmpeg, yt-dlp, a JavaScript runtime, GPU, hub, disk, Ray
echolens doctor animals.yaml             # and what this dataset needs: weights, lists, contact, cookies, room
echolens doctor animals.yaml --json
echolens doctor --encoder my_encoder:Mine weights=mine.pt    # an encoder of your own, property by property
echolens doctor --encoder tower weights=/data/animals/models/ciap    # a tower that was trained

The exit code is 0 if nothing is missing; a warning is no fault.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from jobs.shared.arguments import add_working_folder, parse_pairs
from jobs.shared.job import load, run
from jobs.shared.trust import add_trust, check_uses, read_trust
from pipelines.doctor.checks import check_dataset, check_encoders
from pipelines.doctor.machine import Finding


def format_line(finding: Finding) -> str:
    """Return a finding as one line."""
    advice = f": {finding.advice}" if finding.advice else ""
    return f"{finding.state:<8}{finding.name:<12}{finding.found}{advice}"


def _check(args: argparse.Namespace) -> Iterator[Finding]:
    if not args.encoder:
        if not args.file:
            return check_dataset(None)
        dataset = load(args.file, args.overrides, read_trust(args))
        check_uses(dataset, "doctor")
        return check_dataset(dataset)
    add_working_folder()
    keys = parse_pairs([*([args.file] if args.file else []), *args.overrides], "a key of an encoder")
    return check_encoders(args.encoder, keys)


def main(argv: Sequence[str]) -> None:
    """Print every finding as it is made; end with 1 if something is missing."""
    parser = argparse.ArgumentParser(
        prog="echolens doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="the dataset's YAML file, or its root")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument(
        "--encoder", metavar="MODULE:CLASS", help="test an encoder of your own, or a tower, and nothing else"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects: name, state, found, advice")
    add_trust(parser)
    args = parser.parse_intermixed_args(argv)
    findings: list[Finding] = []
    for finding in _check(args):
        findings.append(finding)
        if not args.json:
            print(format_line(finding), flush=True)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.state == "missing" for finding in findings):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
