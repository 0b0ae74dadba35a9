"""Cron expressions: one meaning, Debian's, said in the words of cron, systemd and Kubernetes.

An expression whose meaning cannot be said exactly is refused, never rounded.
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
# What Debian's cron reads: a step follows a star or a range, never a single number; no L, W, # or ?.
_VALUE = r"(\d{1,2}|[A-Za-z]{3})"
_TERM = rf"(\*(/\d+)?|{_VALUE}(-{_VALUE}(/\d+)?)?)"
_FIELD = re.compile(rf"{_TERM}(,{_TERM})*")
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True)
class CronSchedule:
    """When a job is to run.

    Attributes:
        cron: five fields: minute, hour, day of month, month, day of week.
        timezone: such as Europe/London; None for that of the machine.
    """

    cron: str
    timezone: str | None

    @cached_property
    def _parsed(self) -> CronSim:
        return CronSim(self.cron, datetime.now(UTC))

    @property
    def _weekdays(self) -> frozenset[int]:
        """The days of the week, Sunday as 0 alone."""
        days: set[int] = self._parsed.weekdays  # type: ignore[assignment]
        return frozenset(day % 7 for day in days)

    def following(self) -> datetime:
        """Return the next time, in the timetable's own zone."""
        now = datetime.now(ZoneInfo(self.timezone)) if self.timezone else datetime.now().astimezone()
        return next(CronSim(self.cron, now))

    def calendars(self) -> list[str]:
        """Return systemd's `OnCalendar` values, which together mean the same."""
        at = self._parsed
        clock = f"{_listed(at.hours, 24)}:{_listed(at.minutes, 60)}:00"
        months, days = _listed(at.months, 12), _listed(at.days, 31)
        weekdays = ",".join(_WEEKDAYS[day] for day in sorted(self._weekdays))
        on = f"{weekdays} " if len(self._weekdays) < 7 else ""
        if at.day_and:
            said = [f"{on}*-{months}-{days} {clock}"]
        else:
            # Cron runs on either of two days that are both named, systemd on both at once; so two lines.
            said = [f"*-{months}-{days} {clock}", f"{on}*-{months}-* {clock}"]
        return [f"{one} {self.timezone}" if self.timezone else one for one in said]

    def kubernetes(self) -> str:
        """Return the `schedule` of a CronJob that means the same.

        Raises:
            ConfigError: there is none.
        """
        minute, hour, day, month, weekday = self.cron.split()
        stepped = (day.startswith("*/"), weekday.startswith("*/"))
        if any(stepped) and "*" not in (day, weekday):
            raise ConfigError(
                f"--cron {self.cron!r} means another day to Kubernetes than to cron; "
                "name the days one by one, or leave one of the two day fields `*`"
            )
        if weekday != "*":
            # Sunday is 0 there and never 7.
            weekday = ",".join(str(number) for number in sorted(self._weekdays))
        return " ".join((minute, hour, day, month, weekday))


def parse(expression: str, timezone: str | None = None) -> CronSchedule:
    """Return the timetable of an expression.

    Raises:
        ConfigError: it is none that Debian's cron would take, it never comes, or there is no such zone.
    """
    cron = " ".join(_SHORT.get(expression.strip().lower(), expression).split())
    wanted = "give minute, hour, day of month, month and day of week, such as '30 4 * * 1'"
    if len(cron.split()) != 5:
        raise ConfigError(f"--cron {expression!r} has {len(cron.split())} fields and not 5; {wanted}")
    for field in cron.split():
        if not _FIELD.fullmatch(field):
            raise ConfigError(f"--cron {expression!r}: {field!r} is nothing that cron reads; {wanted}")
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
        raise ConfigError(f"--cron {expression!r}: {str(error).lower()}; {wanted}") from error
    except StopIteration:
        raise ConfigError(f"--cron {expression!r} never comes; {wanted}") from None
    return CronSchedule(cron, timezone)


def _listed(values: Collection[int], every: int) -> str:
    return "*" if len(values) == every else ",".join(f"{value:02d}" for value in sorted(values))
