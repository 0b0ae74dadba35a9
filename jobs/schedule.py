"""Let the machine's own scheduler refresh a dataset: nothing of ours stays running in between.

    echolens schedule animals.yaml --cron '30 4 * * 1' --to crontab --install
    echolens schedule animals.yaml --cron @daily --to systemd --timezone Europe/London
    echolens schedule animals.yaml --cron '0 */6 * * *' --to kubernetes --address http://ray-head:8265

Without --install the entry is printed. Overlap, missed runs and restarts need no state beside the root's:
its lease lets one job through at a time, and its versions say what is done.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from jobs.shared.cron import parse
from jobs.shared.job import check_root, load, read_dataset_content, run
from jobs.shared.scheduler_entries import SchedulerEntry, write_crontab, write_kubernetes, write_systemd
from jobs.shared.submit import add_address
from jobs.shared.trust import add_trust, check_uses, format_trust, read_trust
from pipelines.errors import ConfigError
from schemas.strict import Trust


def make_entry(
    file: str, cron: str, timezone: str | None, address: str | None, trust: Trust | None = None
) -> SchedulerEntry:
    """Return the arguments as an entry, once they are checked.

    Args:
        file: of the dataset.
        cron: when, as five fields or @daily and the like.
        timezone: of the fields; None for the machine's.
        address: of a Ray dashboard; None for this machine.
        trust: what the person vouches for, whenever it runs.

    Raises:
        ConfigError: the file or the expression is wrong, or the cluster's nodes would not see the root.
    """
    schedule = parse(cron, timezone)
    content = read_dataset_content(file, trust=trust)
    dataset = load(file, trust=trust)
    check_uses(dataset, "refresh")
    if address:
        check_root(str(content["root"]))
    return SchedulerEntry(
        dataset.name, Path(file).resolve(), schedule, address, tuple(format_trust(trust)) if trust else ()
    )


def install_crontab(entry: SchedulerEntry) -> None:
    """Put an entry into this user's crontab, in the place of an older one for the same file.

    Raises:
        ConfigError: there is no cron, or it refuses.
    """
    program = which("crontab")
    if program is None:
        raise ConfigError(
            "there is no `crontab` command here; install cron (Debian: package cron), or see --to systemd"
        )
    listed = subprocess.run(
        [program, "-l"], capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
    )
    before = listed.stdout.splitlines() if listed.returncode == 0 else []
    lines = write_crontab(entry)
    if lines[0] in before:
        at = before.index(lines[0])
        del before[at : at + len(lines)]
    text = "\n".join([*before, *lines]) + "\n"
    result = subprocess.run(
        [program, "-"],
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    if result.returncode:
        raise ConfigError(
            f"crontab refused the entry ({' '.join(result.stderr.split())}); see `man 5 crontab`"
        )


def install_systemd(entry: SchedulerEntry) -> None:
    """Write a timer and its service for this user and start the timer.

    Raises:
        ConfigError: there is no systemd for this user.
    """
    for path, text in write_systemd(entry).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    unit = f"{entry.unit}.timer"
    program = which("systemctl")
    if program is None:
        raise ConfigError(
            "there is no systemd here; the units are written, see --to crontab for this machine"
        )
    for words in (["daemon-reload"], ["enable", "--now", unit]):
        result = subprocess.run(
            [program, "--user", *words],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        if result.returncode:
            raise ConfigError(
                f"systemd did not take {unit}, which is written ({' '.join(result.stderr.split())}); "
                f"run `systemctl --user enable --now {unit}` where this user has a session"
            )


def main(argv: Sequence[str]) -> None:
    """Print the entry of a scheduler, or install it."""
    parser = argparse.ArgumentParser(
        prog="echolens schedule", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="the dataset's YAML file")
    parser.add_argument("--cron", required=True, metavar="EXPR", help="five fields, or @daily and the like")
    parser.add_argument("--to", required=True, choices=("crontab", "systemd", "kubernetes"))
    parser.add_argument(
        "--timezone", metavar="ZONE", help="such as Europe/London; the machine's if not given"
    )
    parser.add_argument("--install", action="store_true", help="put it in place: crontab and systemd")
    parser.add_argument("--image", default=None, help="kubernetes: the image built from jobs/kube/Dockerfile")
    add_trust(parser)
    add_address(parser)
    args = parser.parse_args(argv)
    entry = make_entry(args.file, args.cron, args.timezone, args.address, read_trust(args))
    if args.to == "kubernetes":
        if args.install:
            raise ConfigError("--install is for this machine; pipe what is printed to `kubectl apply -f -`")
        print(write_kubernetes(entry, args.image), end="")
        return
    if args.install:
        (install_crontab if args.to == "crontab" else install_systemd)(entry)
        next_time = entry.schedule.find_next().isoformat(sep=" ", timespec="minutes")
        print(f"schedule: {entry.name} is refreshed next at {next_time}", file=sys.stderr)
        return
    if args.to == "crontab":
        print("\n".join(write_crontab(entry)))
        return
    print("\n".join(f"# {path}\n{text}" for path, text in write_systemd(entry).items()), end="")


if __name__ == "__main__":
    run(main)
