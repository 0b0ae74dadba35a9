"""Entries for cron, systemd and Kubernetes: each means what was asked for, and starts a real refresh."""

import re
import shlex
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cronsim import CronSim

from jobs.shared.cron import parse
from jobs.shared.scheduler_entries import SchedulerEntry, write_crontab, write_kubernetes, write_systemd
from pipelines.errors import ConfigError
from tests.commands import echolens, status, write_captions
from tests.in_process import job_here

EXPRESSIONS = [
    "30 4 * * 1",
    "@daily",
    "*/15 9-17 * * 1-5",
    "0 0 1,15 * *",
    "5 4-20/4 1-7/2 * mon",
    "0 12 * jan-mar,DEC 0,7",
    "59 23 31 12 5",
    "0 6 */2 * 1",
    "0 6 13 * fri",
    "17 * 29 2 *",
]
FILE = """\
name: animals
root: s3://bucket/animals
contact: you@example.org
sources:
  - {kind: cc12m, list: s3://bucket/lists/cc12m.tsv}
"""


@pytest.fixture
def file(tmp_path):
    """A dataset file at a path that every shell, cron and systemd would stumble over."""
    path = tmp_path / 'it\'s 100% "$HOME" 50%.yaml'
    path.write_text(FILE)
    return path


def entry(file, cron="30 4 * * 1", timezone=None, address=None):
    return SchedulerEntry("animals", file, parse(cron, timezone), address)


@pytest.mark.parametrize("cron", EXPRESSIONS)
def test_systemd_comes_when_cron_comes(cron):
    """The next twelve times of the translation, as systemd itself counts them, are those of cron."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    begin = datetime(2026, 2, 27, 13, 7, tzinfo=UTC)
    schedule = parse(cron, "Etc/UTC")
    expected = [next(times).isoformat() for times in [CronSim(schedule.cron, begin)] for _ in range(12)]

    found: set[str] = set()
    for calendar in schedule.format_calendars():
        said = subprocess.run(
            ["systemd-analyze", "calendar", "--iterations=12", f"--base-time={begin:%F %T} UTC", calendar],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for day, clock in re.findall(r"(?:elapse|#\d+): \w{3} (\S+) (\S+) UTC", said):
            found.add(f"{day}T{clock}+00:00")

    assert expected == sorted(found)[:12]


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("30 4 * *", "has 4 fields and not 5"),
        ("0 30 4 * * 1", "has 6 fields and not 5"),
        ("61 4 * * 1", "bad minute"),
        ("5/10 * * * *", "'5/10' is nothing that cron reads"),
        ("0 0 L * *", "'L' is nothing that cron reads"),
        ("0 0 * * 1#2", "'1#2' is nothing that cron reads"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("@reboot", "has 1 fields"),
        ("*/0 * * * *", "bad minute"),
        ("* * * * *; rm -rf /", "fields and not 5"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_cron_would_not_read_is_refused(cron, sentence):
    """A mistake is found when it is made, not at night."""
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        parse(cron)


def test_an_unknown_time_zone_is_refused():
    """A zone is looked up before a scheduler is told."""
    with pytest.raises(ConfigError, match="'Mars/Base' is not known"):
        parse("@daily", "Mars/Base")


def test_cron_starts_exactly_this_command(file, tmp_path, monkeypatch):
    """Quotes, dollars and percent signs of a path arrive as they are, through cron and its shell."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state 5%"))
    comment, line = write_crontab(entry(file))
    after_cron = line.split(" ", 5)[5].replace(r"\%", "%")
    words = shlex.split(after_cron)

    assert re.search(r"(?<!\\)%", line) is None
    assert str(file) in words
    assert comment == f"# echolens refresh {file}"


def test_cron_has_no_time_zones(file):
    """Debian's cron runs in the machine's zone, so another is refused."""
    with pytest.raises(ConfigError, match="see --to systemd"):
        write_crontab(entry(file, timezone="Europe/London"))


def test_systemd_reads_the_units(file, tmp_path, monkeypatch):
    """Systemd's own checker has nothing to say about the timer and its service."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    units = write_systemd(entry(file, "0 6 13 * fri", "Europe/London"))
    for path, text in units.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--user", *units], capture_output=True, text=True, check=False
    )
    service = next(text for path, text in units.items() if path.suffix == ".service")

    assert "echolens" not in told.stderr
    assert "100%% " in service
    assert "$$HOME" in service


def test_a_systemd_that_is_not_there_is_one_sentence(file, tmp_path, monkeypatch):
    """The units are written all the same, and what to run later is said."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    asked = ["--cron", "@daily", "--to", "systemd", "--install"]
    ended = echolens("schedule", file, *asked, check=False)

    assert 1 == ended.returncode
    assert re.search(
        r"echolens: (there is no systemd here|systemd did not take echolens-animals.timer)", ended.stderr
    )
    assert {"echolens-animals.service", "echolens-animals.timer"} == {
        path.name for path in (tmp_path / "config" / "systemd" / "user").iterdir()
    }


def test_kubernetes_is_told_the_same_days(file):
    """Sunday is 0 alone there; a step of days beside a weekday means something else and is refused."""
    assert parse("0 5 * * fri-7").format_kubernetes() == "0 5 * * 0,5,6"
    with pytest.raises(ConfigError, match="another day to Kubernetes"):
        write_kubernetes(entry(file, "0 6 */2 * 1"), None)


def test_a_pod_has_nothing_of_this_machine(file):
    """A root or list on this disk is refused before the cluster finds it missing."""
    file.write_text(FILE.replace("s3://bucket/animals", "data"))
    with pytest.raises(ConfigError, match="root 'data' is a place on this machine"):
        write_kubernetes(entry(file), None)


def test_schedule_prints_and_changes_nothing(file):
    """Without --install the entry is shown; the file and the expression are checked all the same."""
    shown = echolens("schedule", file, "--cron", "@weekly", "--to", "crontab").stdout
    refused = echolens("schedule", file, "--cron", "never", "--to", "crontab", check=False)
    file.write_text(FILE.replace("name:", "nam:"))
    misspelt = echolens("schedule", file, "--cron", "@weekly", "--to", "systemd", check=False)

    assert "0 0 * * 0 mkdir -p" in shown
    assert "has 1 fields and not 5" in refused.stderr
    assert "unknown key 'nam'" in misspelt.stderr


def test_what_is_printed_for_kubernetes_is_whole(file):
    """The ConfigMap holds the file as it is, and the CronJob asks for it at the address."""
    url = "http://head:8265"
    shown = echolens("schedule", file, "--cron", "@daily", "--to", "kubernetes", "--address", url).stdout
    config, job = yaml.safe_load_all(shown)
    container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]

    assert yaml.safe_load(FILE) == yaml.safe_load(config["data"]["dataset.yaml"])
    assert ["refresh", "/dataset/dataset.yaml", "--address", url] == container["args"]
    assert "Forbid" == job["spec"]["concurrencyPolicy"]


# A cron of its own: its tables, its lock and the machine's /etc/crontab lie under mounts that nobody else
# sees and that end with it.
_OWN_CRON = """
set -e
mount -t tmpfs tmpfs /var/spool/cron
mkdir -m 1730 /var/spool/cron/crontabs
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/cron.d
mount --bind /dev/null /etc/crontab
"$@"
exec cron -f
"""


@pytest.fixture
def captions(tmp_path):
    """A dataset of two captions, built, and one more caption in its list since; its path has a %."""
    file = write_captions(tmp_path, 2).rename(tmp_path / "captions 100%.yaml")
    job_here("build", file)
    with (tmp_path / "captions.csv").open("a") as more:
        more.write("2,abcdefghij2,0,A bell rings\n")
    return file


@pytest.mark.slow
def test_cron_starts_a_refresh(captions, tmp_path):
    """A real cron daemon reads the installed entry and, within two minutes, version 2 is published."""
    if shutil.which("cron") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("no cron here (Debian: package cron), or no right to give it a place of its own")
    program = [Path(sys.executable).with_name("echolens"), "schedule", captions, "--cron", "* * * * *"]
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _OWN_CRON, "sh", *program, "--to", "crontab", "--install"],
        env={"HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    ) as cron:
        try:
            end = time.monotonic() + 240
            while status(tmp_path / "data")["version"] != 2 and time.monotonic() < end:
                assert cron.poll() is None, cron.stderr and cron.stderr.read()
                time.sleep(2)
        finally:
            cron.terminate()
    log = next((tmp_path / ".local").rglob("*.log")).read_text()

    assert status(tmp_path / "data")["version"] == 2, log
    assert status(tmp_path / "data")["candidates"] == 3
