"""The call that leaves a position: bounded from the mark price, against the one who leaves."""

from __future__ import annotations

import pytest

from keeper.core.ids import Address
from keeper.core.units import BigInt, Bps
from keeper.venues.perp_v2.calls import CLOSE_POSITION
from keeper.venues.perp_v2.ledger import contracts_of
from keeper.venues.perp_v2.market import MarketNow, Now, Unknown
from keeper.venues.perp_v2.state import Config, Position, State
from keeper.venues.perp_v2.takeovers import PerpTakeovers
from tests.venues.event_logs import address
from tests.venues.test_perp_ledger import SPEC

WAD = 10**18
TRADER, BASE = address(1), address(2)
CONFIG = Config(im=100_000, mm=62_500, penalty=25_000, funding_max=100_000, twap=900, mark_twap=1_800, premium=900)


def takeovers_of(size: int, mark: int | Unknown) -> PerpTakeovers:
    """Return the takeovers of an exchange where TRADER has a position."""
    state = State()
    state.tables.begin_block(1)
    state.positions.set(BASE + TRADER, Position(BigInt(size), BigInt(0), BigInt(0)))
    now = Now(CONFIG, Unknown("not read"), {BASE: MarketNow(mark, 0)}, {}, 0)
    return PerpTakeovers(state, contracts_of(SPEC), lambda: now)


@pytest.mark.parametrize(
    ("size", "bound"),
    [(3 * WAD, 5_880 * WAD), (-3 * WAD, 6_120 * WAD), (11, 21_560), (-11, 22_440)],
)
def test_the_bound_is_off_the_mark_price_on_the_worse_side(size: int, bound: int) -> None:
    """A long gets at least, a short pays at most, two hundredths off what the position is worth at 2,000."""
    call = takeovers_of(size, 2_000 * WAD).exit_call(TRADER, BASE, Bps(200))
    assert call is not None
    words = [call.data[at : at + 32] for at in range(4, len(call.data), 32)]
    assert (call.to, call.data[:4], Address(words[0][12:])) == (SPEC.root, CLOSE_POSITION, BASE)
    assert [int.from_bytes(word, "big") for word in words[1:]] == [0, bound, 2**256 - 1, 0]


def test_nothing_is_left_at_an_unknown_price() -> None:
    """Without a mark price there is no bound, and so no call; without a position neither."""
    assert takeovers_of(3 * WAD, Unknown("reverts")).exit_call(TRADER, BASE, Bps(200)) is None
    assert takeovers_of(3 * WAD, 2_000 * WAD).exit_call(address(7), BASE, Bps(200)) is None
