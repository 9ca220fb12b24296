"""When a keeper is healthy, and when it is ready."""

from __future__ import annotations

import pytest

from keeper.observe.status import Failing, Status, unhealthy, unready
from tests.observe.pictures import WELL, changed, with_chain, with_journal, with_venue

SICK = [
    (changed(progress_age_seconds=15.1), Failing("progress", "no fact was taken for 15.1 s")),
    (with_journal(fault="the disk is full"), Failing("journal", "the disk is full")),
]
BUSY = [
    (changed(draining=True), Failing("running", "the keeper is draining")),
    (changed(run_id=None), Failing("running", "the run has not begun")),
    (with_chain(watermark=None), Failing("watermark of local", "no block was applied yet")),
    (with_chain(behind_blocks=3), Failing("watermark of local", "3 blocks behind the head")),
    (with_chain(followed=False), Failing("watermark of local", "no head was followed since the start")),
    (with_chain(stale=True), Failing("watermark of local", "no block followed 120 for too long")),
    (
        with_venue(discovered=False),
        Failing("contracts of aave", "not known yet: no log of its root contract was seen"),
    ),
    (with_venue(prices_missing=("0x01", "0x02")), Failing("prices of aave", "no price of 0x01, 0x02")),
]


def test_a_well_keeper_is_healthy_and_ready() -> None:
    """Nothing fails when nothing is wrong."""
    assert (unhealthy(WELL), unready(WELL)) == ([], [])


@pytest.mark.parametrize(("status", "failing"), SICK)
def test_health_can_fail(status: Status, failing: Failing) -> None:
    """A loop that hangs and a journal that cannot be written are reasons to restart, and each is named."""
    assert unhealthy(status) == [failing]


@pytest.mark.parametrize(("status", "failing"), [*SICK, *BUSY])
def test_readiness_can_fail(status: Status, failing: Failing) -> None:
    """Whatever keeps the keeper from being relied on is named."""
    assert unready(status) == [failing]


@pytest.mark.parametrize(("status", "_failing"), BUSY)
def test_a_busy_keeper_is_not_restarted(status: Status, _failing: Failing) -> None:
    """What passes by itself does not make the process unhealthy."""
    assert unhealthy(status) == []
