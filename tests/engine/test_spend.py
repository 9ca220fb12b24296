"""The rolling hour."""

from __future__ import annotations

from keeper.core.ids import content_id
from keeper.core.units import BaseAmount
from keeper.engine.spend import HOUR_MS, SpendWindow

ONE, TWO = content_id(1), content_id(2)


def window() -> SpendWindow:
    """Return a window with 10 at zero and 5 at half an hour."""
    spend = SpendWindow()
    spend.charge(ONE, BaseAmount(10), 0)
    spend.charge(TWO, BaseAmount(5), HOUR_MS // 2)
    return spend


def test_rolls() -> None:
    """A charge counts for one hour exactly."""
    totals = [window().total(at_ms) for at_ms in (HOUR_MS - 1, HOUR_MS, HOUR_MS * 3 // 2)]
    assert totals == [BaseAmount(15), BaseAmount(5), BaseAmount(0)]


def test_release() -> None:
    """A released charge does not count until it is taken up again."""
    spend = window()
    spend.release(ONE, released=True)
    assert spend.total(HOUR_MS // 2) == BaseAmount(5)
    spend.release(ONE, released=False)
    assert spend.total(HOUR_MS // 2) == BaseAmount(15)


def test_bounded() -> None:
    """Charges older than an hour are forgotten with the next one."""
    spend = window()
    spend.charge(content_id(3), BaseAmount(1), HOUR_MS + 1)
    assert [charge.intent_id for charge in spend.charges] == [TWO, content_id(3)]
