"""Times are written in UTC, and in the reader's own clock where that is another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from keeper.cli.times import written

MOMENT_MS = 1_790_000_000_123
SetZone = Callable[[str], None]


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetZone]:
    """Return what puts this process into a time zone, for one test."""

    def put(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "local"),
    [("UTC", ""), ("EAST-3", " (17:13:20 EAST)"), ("FAR-12", " (2026-09-22 02:13:20 FAR)")],
)
def test_a_time_is_in_utc_and_local(set_zone: SetZone, zone: str, local: str) -> None:
    """The local clock is behind it where it differs, with its day where that differs too."""
    set_zone(zone)

    assert written(MOMENT_MS) == f"2026-09-21 14:13:20.123Z{local}"
