"""Entries for cron, systemd and Kubernetes: each starts the same refresh."""

import re
import shlex
import shutil
import subprocess

import pytest

from jobs.shared.cron import parse
from jobs.shared.scheduler_entries import SchedulerEntry, write_crontab, write_kubernetes, write_systemd
from pipelines.errors import ConfigError

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
