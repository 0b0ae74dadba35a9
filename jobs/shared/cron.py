"""Cron expressions: parsed as Debian's cron does, and translated for systemd and Kubernetes.

An expression that another scheduler cannot express exactly is refused, never rounded.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from pipelines.errors import ConfigError

_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# The grammar of Debian's cron: a step follows a star or a range, never a single number; no L, W, # or ?.
_VALUE = r"(\d{1,2}|[A-Za-z]{3})"
_TERM = rf"(\*(/\d+)?|{_VALUE}(-{_VALUE}(/\d+)?)?)"
_FIELD = re.compile(rf"{_TERM}(,{_TERM})*")
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True)
class CronSchedule:
    """When a job runs.

    Attributes:
        cron: five fields: minute, hour, day of month, month, day of week.
        timezone: such as Europe/London; None for the machine's own.
    """

    cron: str
    timezone: str | None

    @cached_property
    def _parsed(self) -> CronSim:
        return CronSim(self.cron, datetime.now(UTC))

    @property
    def _weekdays(self) -> frozenset[int]:
        """The days of the week; Sunday is 0, never 7."""
        days: set[int] = self._parsed.weekdays  # type: ignore[assignment]
        return frozenset(day % 7 for day in days)

    def find_next(self) -> datetime:
        """Return the next time, in the schedule's own zone."""
        now = datetime.now(ZoneInfo(self.timezone)) if self.timezone else datetime.now().astimezone()
        return next(CronSim(self.cron, now))

    def format_calendars(self) -> list[str]:
        """Return systemd's `OnCalendar` values, which together match the same times."""
        at = self._parsed
        clock = f"{_format_values(at.hours, 24)}:{_format_values(at.minutes, 60)}:00"
        months, days = _format_values(at.months, 12), _format_values(at.days, 31)
        weekdays = ",".join(_WEEKDAYS[day] for day in sorted(self._weekdays))
        on = f"{weekdays} " if len(self._weekdays) < 7 else ""
        if at.day_and:
            calendars = [f"{on}*-{months}-{days} {clock}"]
        else:
            # If both day fields are set, cron runs when either matches, systemd when both do; so two lines.
            calendars = [f"*-{months}-{days} {clock}", f"{on}*-{months}-* {clock}"]
        return [f"{line} {self.timezone}" if self.timezone else line for line in calendars]

    def format_kubernetes(self) -> str:
        """Return the `schedule` of a CronJob that matches the same times.

        Raises:
            ConfigError: Kubernetes would run on other days.
        """
        minute, hour, day, month, weekday = self.cron.split()
        stepped = (day.startswith("*/"), weekday.startswith("*/"))
        if any(stepped) and "*" not in (day, weekday):
            raise ConfigError(
                f"--cron {self.cron!r} means another day to Kubernetes than to cron; "
                "name the days one by one, or leave one of the two day fields `*`"
            )
        if weekday != "*":
            # Kubernetes writes Sunday as 0, never as 7.
            weekday = ",".join(str(number) for number in sorted(self._weekdays))
        return " ".join((minute, hour, day, month, weekday))


def parse(expression: str, timezone: str | None = None) -> CronSchedule:
    """Return the schedule of an expression.

    Raises:
        ConfigError: Debian's cron would refuse it, it never matches, or the zone is unknown.
    """
    cron = " ".join(_SHORT.get(expression.strip().lower(), expression).split())
    advice = "give minute, hour, day of month, month and day of week, such as '30 4 * * 1'"
    if len(cron.split()) != 5:
        raise ConfigError(f"--cron {expression!r} has {len(cron.split())} fields and not 5; {advice}")
    for field in cron.split():
        if not _FIELD.fullmatch(field):
            raise ConfigError(f"--cron {expression!r}: {field!r} is nothing that cron reads; {advice}")
    if timezone is not None:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                f"--timezone {timezone!r} is not known; give one such as Europe/London"
            ) from error
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        raise ConfigError(f"--cron {expression!r}: {str(error).lower()}; {advice}") from error
    except StopIteration:
        raise ConfigError(f"--cron {expression!r} never comes; {advice}") from None
    return CronSchedule(cron, timezone)


def _format_values(values: Collection[int], every: int) -> str:
    return "*" if len(values) == every else ",".join(f"{value:02d}" for value in sorted(values))
