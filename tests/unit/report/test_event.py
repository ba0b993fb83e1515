"""The limits of an Event's fields."""

from datetime import UTC, datetime, timedelta

import pytest

from ingress_controller.objects.views import Ingress, Metadata
from ingress_controller.report.event import to_name, to_note, to_time

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ("short", "short"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1021 + "…"),
        ("ä" * 600, "ä" * 510 + "…"),
        ("€" * 400, "€" * 340 + "…"),
        ("x" + "😀" * 300, "x" + "😀" * 255 + "…"),
        ("\ud800", "?"),
    ],
)
def test_a_note_is_cut_at_a_character(message: str, note: str) -> None:
    assert to_note(message) == note
    assert len(note.encode()) <= 1024


def test_times_have_six_decimals() -> None:
    assert to_time(TIME) == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize("name", ["web", "a" * 253, "a" * 235 + "-" + "b" * 17, "a" * 235 + "." + "b" * 17])
def test_names_are_valid_and_sort_by_time(name: str) -> None:
    ingress = Ingress(metadata=Metadata(name=name))
    names = [to_name(ingress, TIME + timedelta(microseconds=n)) for n in (0, 1, 15, 16, 10**12)]
    assert names == sorted(set(names))
    assert all(len(it) <= 253 and ".." not in it and "-." not in it for it in names)
