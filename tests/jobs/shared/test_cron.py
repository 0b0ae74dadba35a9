"""A cron expression means to every scheduler what it means to Debian's cron, or is refused."""

import re
import shutil
import subprocess
from datetime import UTC, datetime

import pytest
from cronsim import CronSim

from jobs.shared.cron import parse
from pipelines.errors import ConfigError

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
