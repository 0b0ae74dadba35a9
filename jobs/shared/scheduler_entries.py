"""Entries for cron, systemd and Kubernetes, each of which runs `echolens refresh FILE`."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from jobs.shared.cron import CronSchedule
from jobs.shared.job import read_dataset_content
from jobs.shared.submit import check_secrets
from pipelines.errors import ConfigError

# Debian's cron cuts a command at 1,000 characters (MAX_COMMAND).
_CRON_MAX_CHARS = 999
# Kubernetes adds 11 characters to a CronJob's name and takes 63.
_NAME_MAX_CHARS = 52


@dataclass(frozen=True)
class SchedulerEntry:
    """A scheduled refresh.

    Attributes:
        name: of the dataset.
        file: its file, absolute.
        schedule: when it runs.
        address: of a Ray dashboard, or None for this machine.
        trust: options that say what the person vouches for.
    """

    name: str
    file: Path
    schedule: CronSchedule
    address: str | None
    trust: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The name of the unit: lower-case letters, digits and hyphens, as systemd and Kubernetes require."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return f"echolens-{plain}"[:_NAME_MAX_CHARS].rstrip("-")

    @property
    def command(self) -> list[str]:
        """The command, by absolute paths: a scheduler has neither our folder nor our PATH."""
        beside = Path(sys.executable).with_name("echolens")
        program = [str(beside)] if beside.exists() else [sys.executable, "-m", "jobs.cli"]
        return [*program, "refresh", str(self.file), *self.options]

    @property
    def options(self) -> list[str]:
        """The options of the refresh."""
        to_cluster = ["--address", self.address] if self.address else []
        return [*to_cluster, *self.trust]

    @property
    def path(self) -> str:
        """PATH of the job: that of the user who schedules it; cron's has neither conda nor /usr/local."""
        return os.environ.get("PATH", os.defpath)

    @property
    def log(self) -> Path:
        """Where the output of cron's runs goes."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(state) / "echolens" / f"{self.unit}.log"


def write_crontab(entry: SchedulerEntry) -> list[str]:
    """Return the lines of a crontab: a comment that finds the entry again, and the entry.

    Raises:
        ConfigError: cron cannot express it.
    """
    zone = entry.schedule.timezone
    if zone is not None:
        raise ConfigError(
            f"cron runs in the time zone of its machine and --timezone {zone} was asked for; "
            "leave it out, or see --to systemd"
        )
    log = shlex.quote(str(entry.log))
    command = (
        f"mkdir -p {shlex.quote(str(entry.log.parent))} && PATH={shlex.quote(entry.path)} "
        f"{shlex.join(entry.command)} >>{log} 2>&1"
    )
    # To cron an unescaped % ends the command.
    line = f"{entry.schedule.cron} {command}".replace("%", r"\%")
    if "\n" in line:
        raise ConfigError(f"{str(entry.file)!r} has a line break in its path; cron cannot be told that")
    if len(line) > _CRON_MAX_CHARS:
        raise ConfigError(
            f"the entry has {len(line)} characters and cron reads {_CRON_MAX_CHARS}; "
            "shorten PATH, which it holds"
        )
    return [f"# echolens refresh {entry.file}", line]


def write_systemd(entry: SchedulerEntry) -> dict[Path, str]:
    """Return the files of a timer and its service: path -> text."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    calendars = "\n".join(f"OnCalendar={calendar}" for calendar in entry.schedule.format_calendars())
    service = f"""\
[Unit]
Description=Refresh of the dataset {_escape_text(entry.name)}
After=network-online.target

[Service]
Type=oneshot
Environment={_quote("PATH=" + entry.path)}
ExecStart={" ".join(_quote(word).replace("$", "$$") for word in entry.command)}
"""
    timer = f"""\
[Unit]
Description=When the dataset {_escape_text(entry.name)} is refreshed

[Timer]
{calendars}
# To the minute, and once after the machine was off at the time.
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {folder / f"{entry.unit}.service": service, folder / f"{entry.unit}.timer": timer}


def write_kubernetes(entry: SchedulerEntry, image: str | None) -> str:
    """Return a ConfigMap that holds the dataset's file, and the CronJob that refreshes it.

    Raises:
        ConfigError: the file names a location that a pod cannot see.
    """
    content = read_dataset_content(str(entry.file))
    check_secrets(content)
    for what, location in [("root", content["root"])] + [
        (key, each[key]) for each in content["sources"] for key in ("list", "files") if each.get(key)
    ]:
        if "://" not in location or location.startswith("file://"):
            raise ConfigError(
                f"{what} {location!r} is a place on this machine, which a pod does not have; give a URL such "
                "as s3://bucket/name"
            )
    template = Path(__file__).parents[1] / "kube" / "cronjob.yaml"
    config, job = yaml.safe_load_all(template.read_text(encoding="utf-8"))
    config["metadata"]["name"] = job["metadata"]["name"] = entry.unit
    config["data"] = {"dataset.yaml": yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}
    spec = job["spec"]
    spec["schedule"] = entry.schedule.format_kubernetes()
    spec["timeZone"] = entry.schedule.timezone or "Etc/UTC"
    pod: dict[str, Any] = spec["jobTemplate"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    container["image"] = image or f"echolens:{version('echolens')}"
    container["args"] = ["refresh", container["args"][1], *entry.options]
    pod["volumes"][0]["configMap"]["name"] = entry.unit
    return yaml.dump_all([config, job], Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block, not between quotes."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _quote(word: str) -> str:
    """Quote a word for a systemd unit, in which % begins a specifier."""
    if "\n" in word:
        raise ConfigError(f"{word!r} has a line break; systemd cannot be told that")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _escape_text(text: str) -> str:
    return " ".join(text.split()).replace("%", "%%")
