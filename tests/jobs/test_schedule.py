"""What `schedule` prints and installs: a real refresh at the time asked for."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.commands import echolens, status, write_captions
from tests.in_process import job_here

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
