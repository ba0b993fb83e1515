"""Dates, days and times of day: what is read, what each mistake says, and what fixed instants satisfy."""

from datetime import UTC, datetime, time
from typing import Any as Anything

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress_controller.model.policy import Any as AnyOf
from ingress_controller.model.policy import Constant, Date, DayOfWeek, Expression, Rule, TimeOfDay
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.parse import parse
from ingress_controller.policy.simplify import simplify
from ingress_controller.policy.times import DAYS, zone_names, zone_of
from tests.unit.policy.test_evaluate import decide

ALLOWED = "allow:policy.allow"


def criterion(text: str) -> Expression:
    match parse(f"allow: {{or: [{{{text}}}]}}").allow:
        case (Rule(condition=AnyOf((AnyOf((expression,)),))),):
            return expression
    raise AssertionError(text)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone_of(zone))


WEEK = tuple(range(7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("date: {after: 2030-01-31}", Date(at("2030-01-31"), None)),
        ("date: {before: 2030-01-31T16:20}", Date(None, at("2030-01-31T16:20"))),
        ("date: {before: 2030-01-31T16:20:05Z}", Date(None, at("2030-01-31T16:20:05"))),
        (
            "date: {after: '2030-01-31T00:30:00+01:00', before: '2030-01-31T00:30:00-05:30'}",
            Date(at("2030-01-30T23:30"), at("2030-01-31T06:00")),
        ),
        ("date: {after: 2020-01-02T16:20:00, before: 2150-01-02T16:20:00}",
         Date(at("2020-01-02T16:20"), at("2150-01-02T16:20"))),
        ("day_of_week: '*'", DayOfWeek("UTC", WEEK)),
        ("day_of_week: mon", DayOfWeek("UTC", (0,))),
        ("day_of_week: 'fri,mon,wed'", DayOfWeek("UTC", (0, 2, 4))),
        ("day_of_week: tue-fri", DayOfWeek("UTC", (1, 2, 3, 4))),
        ("day_of_week: Fri-Monday", DayOfWeek("UTC", (0, 4, 5, 6))),
        ("day_of_week: 'MON , wed - fri'", DayOfWeek("UTC", (0, 2, 3, 4))),
        ("day_of_week: sun-sun", DayOfWeek("UTC", (6,))),
        ("day_of_week: {timezone: Europe/Berlin, days: 'sat,sun'}", DayOfWeek("Europe/Berlin", (5, 6))),
        ("time_of_day: {timezone: UTC, after: 2:20:00, before: 4:30PM}", TimeOfDay("UTC", time(2, 20), time(16, 30))),
        ("time_of_day: {timezone: +05:30, after: 2:20am}", TimeOfDay("+05:30", time(2, 20), None)),
        ("time_of_day: {timezone: America/Phoenix, before: 12 AM, after: 12PM}",
         TimeOfDay("America/Phoenix", time(12), time(0))),
        ("time_of_day: {timezone: UTC, before: 3:04 pm}", TimeOfDay("UTC", None, time(15, 4))),
        ("time_of_day: {timezone: UTC, before: 15:04:05}", TimeOfDay("UTC", None, time(15, 4, 5))),
    ],
)  # fmt: skip
def test_what_is_read(text: str, expected: Expression) -> None:
    assert criterion(text) == expected


def test_every_day_is_always_and_alternatives_are_one_question() -> None:
    assert simplify(criterion("day_of_week: '*'")) == Constant(value=True)
    assert simplify(parse("allow: {or: [{day_of_week: mon}, {day_of_week: tue-sun}]}").allow[0].condition) == Constant(
        value=True
    )
    two = parse("allow: {or: [{day_of_week: sat}, {day_of_week: mon}, {day_of_week: {timezone: +01:00, days: sun}}]}")
    assert simplify(two.allow[0].condition) == AnyOf((DayOfWeek("UTC", (0, 5)), DayOfWeek("+01:00", (6,))))


DATE = "expected a date such as 2030-01-31 or 2030-01-31T16:20:00+01:00 (UTC where no offset is given), got the text"
CLOCK = "expected a time of day such as 16:20, 16:20:00, 4:20 PM or 4PM, got the text"
ZONE = "write UTC, a name such as America/Phoenix or an offset such as +05:30"
DAY = "write *, or days such as mon,wed or mon-fri"


@pytest.mark.parametrize(
    ("text", "message", "path"),
    [
        ("date: 2030-01-31", "expected a map of after, before, got the text '2030-01-31'", "date"),
        ("date: {}", "expected a map of after, before, got a map", "date"),
        ("date: {since: 2030-01-31}", 'unknown key "since", only after, before are allowed', "date"),
        ("date: {aftr: 2030-01-31}", 'unknown key "aftr", did you mean after? only after, before are allowed', "date"),
        ("date: {after: 2030}", "expected a string, got the number 2030", "date.after"),
        ("date: {after: }", "expected a string, got nothing", "date.after"),
        ("date: {after: 31.1.2030}", f"{DATE} '31.1.2030'", "date.after"),
        ("date: {after: 2030-02-30}", f"{DATE} '2030-02-30'", "date.after"),
        ("date: {after: 2030-W01-1}", f"{DATE} '2030-W01-1'", "date.after"),
        ("date: {after: 2030-01-31T24:30}", f"{DATE} '2030-01-31T24:30'", "date.after"),
        ("date: {after: 2030-01-31 16:20}", f"{DATE} '2030-01-31 16:20'", "date.after"),
        ("date: {after: 2030-01-31T16:20:00.5}", f"{DATE} '2030-01-31T16:20:00.5'", "date.after"),
        ("date: {after: '2030-01-31T16:20+25:00'}", f"{DATE} '2030-01-31T16:20+25:00'", "date.after"),
        ("date: {before: '0001-01-01T00:00+01:00'}", f"{DATE} '0001-01-01T00:00+01:00'", "date.before"),
        (
            "date: {after: 2031-01-01, before: 2030-01-01}",
            "before must be later than after, got 2030-01-01T00:00:00+00:00 and 2031-01-01T00:00:00+00:00",
            "date",
        ),
        ("day_of_week: 1", "expected a string, got the number 1", "day_of_week"),
        ("day_of_week: [mon]", "expected a string, got a list", "day_of_week"),
        ("day_of_week: ''", "expected a string that is not empty", "day_of_week"),
        ("day_of_week: mo", f'unknown day "mo", did you mean mon? {DAY}', "day_of_week"),
        ("day_of_week: mon-fryday", f'unknown day "fryday", did you mean friday? {DAY}', "day_of_week"),
        ("day_of_week: 'mon,'", f'unknown day "", {DAY}', "day_of_week"),
        ("day_of_week: mon-wed-fri", f'unknown day "wed-fri", did you mean wed? {DAY}', "day_of_week"),
        ("day_of_week: '*,mon'", f'unknown day "*", {DAY}', "day_of_week"),
        ("day_of_week: {days: mon}", "timezone is missing", "day_of_week"),
        ("day_of_week: {timezone: UTC}", "days is missing", "day_of_week"),
        ("day_of_week: {timezone: UTC, days: x}", f'unknown day "x", {DAY}', "day_of_week.days"),
        ("day_of_week: {timezone: Mars, days: mon}", f'unknown time zone "Mars", {ZONE}',
         "day_of_week.timezone"),
        ("time_of_day: 16:20", "expected a map of timezone, after, before, got the text '16:20'", "time_of_day"),
        (
            "time_of_day: {after: 16:20}",
            "timezone is missing: write one such as UTC or America/Phoenix",
            "time_of_day",
        ),
        ("time_of_day: {timezone: UTC}", "expected after, before or both", "time_of_day"),
        (
            "time_of_day: {timezone: UTC, until: 16:20}",
            'unknown key "until", only timezone, after, before are allowed',
            "time_of_day",
        ),
        (
            "time_of_day: {timezone: Europe/Berln, after: 16:20}",
            f'unknown time zone "Europe/Berln", did you mean Europe/Berlin? {ZONE}',
            "time_of_day.timezone",
        ),
        *(
            (f"time_of_day: {{timezone: '{zone}', after: 16:20}}", f'unknown time zone "{zone}", {ZONE}',
             "time_of_day.timezone")
            for zone in ("+5:30", "+24:00", "+01:60", "01:00", "/etc/passwd", "..")
        ),
        ("time_of_day: {timezone: 1, after: 16:20}", "expected a string, got the number 1", "time_of_day.timezone"),
        ("time_of_day: {timezone: UTC, after: 16}", "expected a string, got the number 16", "time_of_day.after"),
        *(
            (f"time_of_day: {{timezone: UTC, before: '{clock}'}}", f"{CLOCK} '{clock}'", "time_of_day.before")
            for clock in ("16", "24:00", "16:60", "16:20:60", "16:2", "0 PM", "13PM", "4:20  PM", "noon", "16:20:05.5")
        ),
        (
            "time_of_day: {timezone: UTC, after: 4PM, before: 16:00}",
            "before must differ from after, which is midnight if it is not given, got 16:00:00",
            "time_of_day",
        ),
        (
            "time_of_day: {timezone: UTC, before: 12AM}",
            "before must differ from after, which is midnight if it is not given, got 00:00:00",
            "time_of_day",
        ),
    ],
)  # fmt: skip
def test_mistakes(text: str, message: str, path: str) -> None:
    with pytest.raises(PolicyError) as error:
        criterion(text)
    assert str(error.value) == f"parsing policy: invalid rules in policy: {message} (at policy.allow.or[0].{path})"


@pytest.mark.parametrize(
    ("text", "now", "holds"),
    [
        ("date: {after: 2030-01-01}", at("2029-12-31T23:59:59"), False),
        ("date: {after: 2030-01-01}", at("2030-01-01"), True),
        ("date: {before: 2030-01-01}", at("2029-12-31T23:59:59"), True),
        ("date: {before: 2030-01-01}", at("2030-01-01"), False),
        ("date: {after: 2030-01-01, before: 2030-02-01}", at("2030-02-01"), False),
        ("date: {after: '2030-01-01T00:00+01:00'}", at("2030-01-01", "Europe/Berlin"), True),
        ("date: {after: '2030-01-01T00:00+01:00'}", at("2030-01-01", "+02:00"), False),
        ("day_of_week: tue", at("2030-01-01T23:59"), True),
        ("day_of_week: tue", at("2030-01-01T23:59", "America/Phoenix"), False),
        ("day_of_week: {timezone: America/Phoenix, days: tue}", at("2030-01-02T06:59"), True),
        ("day_of_week: {timezone: Pacific/Kiritimati, days: sat-mon}", at("2030-01-01T10:00"), False),
        ("time_of_day: {timezone: UTC, after: 9:00, before: 17:00}", at("2030-01-01T09:00"), True),
        ("time_of_day: {timezone: UTC, after: 9:00, before: 17:00}", at("2030-01-01T17:00"), False),
        ("time_of_day: {timezone: UTC, after: 9:00, before: 17:00}", at("2030-01-01T16:59:59"), True),
        ("time_of_day: {timezone: UTC, after: 22:00, before: 6:00}", at("2030-01-01T22:00"), True),
        ("time_of_day: {timezone: UTC, after: 22:00, before: 6:00}", at("2030-01-01T05:59:59"), True),
        ("time_of_day: {timezone: UTC, after: 22:00, before: 6:00}", at("2030-01-01T06:00"), False),
        ("time_of_day: {timezone: UTC, after: 18:00, before: 0:00}", at("2030-01-01T00:00"), False),
        ("time_of_day: {timezone: UTC, after: 18:00, before: 0:00}", at("2030-01-01T23:59"), True),
        # Summer time: the same clock, another instant.
        ("time_of_day: {timezone: Europe/Berlin, after: 9:00}", at("2030-01-01T08:00"), True),
        ("time_of_day: {timezone: Europe/Berlin, after: 9:00}", at("2030-07-01T07:00"), True),
        ("time_of_day: {timezone: Europe/Berlin, after: 9:00}", at("2030-01-01T07:00"), False),
        ("time_of_day: {timezone: -09:30, before: 1:00}", at("2030-01-01T10:29:59"), True),
        ("time_of_day: {timezone: -09:30, before: 1:00}", at("2030-01-01T10:30"), False),
    ],
)  # fmt: skip
def test_fixed_instants(text: str, now: datetime, *, holds: bool) -> None:
    assert decide(f"allow: {{or: [{{{text}}}]}}", time=now) == (ALLOWED if holds else "default_deny")
    assert decide(f"allow: {{not: [{{{text}}}]}}", time=now) == ("default_deny" if holds else ALLOWED)


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (see timezones)
CLOCKS = st.times().map(lambda clock: clock.replace(microsecond=0))


@given(INSTANTS, CLOCKS, CLOCKS, st.sampled_from(sorted(zone_names())))
@settings(deadline=None, max_examples=200)
def test_two_windows_that_meet_are_the_day(now: datetime, first: time, second: time, zone: str) -> None:
    if first == second:
        return
    halves = [
        decide(f"allow: {{or: [{{time_of_day: {{timezone: {zone}, after: '{a}', before: '{b}'}}}}]}}", time=now)
        == ALLOWED
        for a, b in ((first, second), (second, first))
    ]
    assert sorted(halves) == [False, True]


@given(INSTANTS, st.sampled_from(sorted(zone_names())))
@settings(deadline=None, max_examples=200)
def test_each_instant_is_on_one_day(now: datetime, zone: str) -> None:
    days: dict[str, Anything] = {
        day: decide(f"allow: {{or: [{{day_of_week: {{timezone: {zone}, days: {day}}}}}]}}", time=now) for day in DAYS
    }
    assert list(days.values()).count(ALLOWED) == 1
