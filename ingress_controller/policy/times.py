"""Instants, days and times of day in policies.

In: YAML values with their path. Out: what ``model.policy`` keeps of them, or ``PolicyError``. All is checked here,
because Envoy does not: an expression with a zone that it does not know fails when a request comes.

What lasts from one time to another includes the first and not the last, so that neighbours neither overlap nor leave
a gap.
"""

import contextlib
import difflib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from importlib import resources
from typing import TypeVar
from zoneinfo import ZoneInfo

from ingress_controller.model.policy import Date, DayOfWeek, TimeOfDay
from ingress_controller.policy.error import describe, invalid, shown
from ingress_controller.policy.matchers import nearest, text

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Names of the days, in the order of ``DayOfWeek.days``."""

_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {name: number for names in (DAYS, _LONG) for number, name in enumerate(names)}
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>[01][0-9]):(?P<minutes>[0-5][0-9])")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?")
_CLOCK = re.compile(
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?)? ?(?P<half>[AP]M)?", re.IGNORECASE
)

_Value = TypeVar("_Value")


def date(value: object, path: str) -> Date:
    """``{after, before}``, of which one may be missing."""
    fields = _fields(value, path, "after", "before")
    after, before = (_optional(fields, name, path, _instant) for name in ("after", "before"))
    if after is not None and before is not None and before <= after:
        raise invalid(f"before must be later than after, got {before.isoformat()} and {after.isoformat()}", path)
    return Date(after, before)


def day_of_week(value: object, path: str) -> DayOfWeek:
    """Days in UTC, or ``{timezone, days}``."""
    if not isinstance(value, dict):
        return DayOfWeek("UTC", _days(value, path))
    fields = _fields(value, path, "timezone", "days")
    for name in ("timezone", "days"):
        if name not in fields:
            raise invalid(f"{name} is missing", path)
    return DayOfWeek(_zone(fields["timezone"], f"{path}.timezone"), _days(fields["days"], f"{path}.days"))


def time_of_day(value: object, path: str) -> TimeOfDay:
    """``{timezone, after, before}``; one of the times may be missing."""
    fields = _fields(value, path, "timezone", "after", "before")
    if "timezone" not in fields:
        raise invalid("timezone is missing: write one such as UTC or America/Phoenix", path)
    if len(fields) == 1:
        raise invalid("expected after, before or both", path)
    zone = _zone(fields["timezone"], f"{path}.timezone")
    after, before = (_optional(fields, name, path, _clock) for name in ("after", "before"))
    if before == (after or time()):
        raise invalid(f"before must differ from after, which is midnight if it is not given, got {before}", path)
    return TimeOfDay(zone, after, before)


def zone_of(name: str) -> tzinfo:
    """The zone that a policy names; it was checked when the policy was read."""
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return UTC if name == "UTC" else ZoneInfo(name)
    duration = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"]))
    return timezone(-duration if offset["sign"] == "-" else duration)


@cache
def zone_names() -> frozenset[str]:
    """Names of the time zone database. From the package, so that they are the same wherever the program runs."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _zone(value: object, path: str) -> str:
    name = text(value, path)
    if _OFFSET.fullmatch(name) or name in zone_names():
        return name
    close = difflib.get_close_matches(name[:100], zone_names(), n=1)
    guess = f", did you mean {close[0]}?" if close else ","
    allowed = "write UTC, a name such as America/Phoenix or an offset such as +05:30"
    raise invalid(f'unknown time zone "{shown(name)}"{guess} {allowed}', path)


def _instant(value: object, path: str) -> datetime:
    written = text(value, path)
    if _INSTANT.fullmatch(written):
        # An instant may be beyond the calendar, before or after it is brought to UTC.
        with contextlib.suppress(ValueError, OverflowError):
            found = datetime.fromisoformat(written)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    raise invalid(
        "expected a date such as 2030-01-31 or 2030-01-31T16:20:00+01:00 (UTC where no offset is given), "
        f"got {describe(value)}",
        path,
    )


def _clock(value: object, path: str) -> time:
    written = text(value, path)
    found = _CLOCK.fullmatch(written)
    if found and (found["minute"] or found["half"]):
        hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
        if found["half"]:
            # 24 is refused below: there is no 0 PM and no 13 AM.
            hour = hour % 12 + 12 * (found["half"].upper() == "PM") if 1 <= hour <= 12 else 24
        with contextlib.suppress(ValueError):
            return time(hour, minute, second)
    raise invalid(f"expected a time of day such as 16:20, 16:20:00, 4:20 PM or 4PM, got {describe(value)}", path)


def _days(value: object, path: str) -> tuple[int, ...]:
    """``*``, or names with commas and dashes between them; a range may go over the end of the week."""
    written = text(value, path)
    if written == "*":
        return tuple(range(7))
    days: set[int] = set()
    for part in written.split(","):
        first, dash, last = part.partition("-")
        begin = _day(first, path)
        end = _day(last, path) if dash else begin
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return tuple(sorted(days))


def _day(word: str, path: str) -> int:
    name = word.strip().lower()
    if name not in _NUMBERS:
        close = difflib.get_close_matches(name[:100], _NUMBERS, n=1)
        guess = f", did you mean {close[0]}?" if close else ","
        raise invalid(f'unknown day "{shown(word.strip())}"{guess} write *, or days such as mon,wed or mon-fri', path)
    return _NUMBERS[name]


def _fields(value: object, path: str, *known: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not value:
        raise invalid(f"expected a map of {', '.join(known)}, got {describe(value)}", path)
    for name in value:
        if name not in known:
            raise invalid(f'unknown key "{shown(name)}"{nearest(name, known)}', path)
    return value


def _optional(
    fields: Mapping[str, object], name: str, path: str, read: Callable[[object, str], _Value]
) -> _Value | None:
    return read(fields[name], f"{path}.{name}") if name in fields else None
