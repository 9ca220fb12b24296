"""Close factor and incentive grow linearly through the zone, and the contract's answer to any call is foretold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import Bps, TokenAmount, Wad
from keeper.core.venue import Call, Preview
from keeper.lab.localchain.transactions import encode_call
from keeper.venues.abi import ERROR_STRING, selector_of, word
from keeper.venues.morpho_blue.calls import revert_name
from keeper.venues.morpho_blue.liquidation import CEILING_SECONDS, Form, Outcome
from keeper.venues.morpho_blue.market import Unknown
from keeper.venues.morpho_blue.math import WAD
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from keeper.venues.morpho_blue.pre_liquidation import close_factor, incentive, quotient, standing
from tests.venues import morpho_logs as logs
from tests.venues.morpho_logs import ALICE, BOB
from tests.venues.pre_liquidation_logs import CONTRACT, FACTORS, INSIDE, OWN_ORACLE, drifted

TERMS = drifted().ledger.zone().terms
SHARES = INSIDE * 10**6
REPAYABLE = SHARES * 275 // 1000
FIRST, LAST = 1_600 * 10**6, 1_720 * 10**6
"""The debts of the two lines: 80 and 86 per cent of 2000."""


def previewed(ledger: PreLiquidationLedger, cover: int) -> Preview:
    """Return the preview of a cover of the market's one pair."""
    return ledger.preview(ALICE, logs.USDC, logs.WETH, TokenAmount(cover))


def middle(into: int) -> tuple[int, int]:
    """Return close factor and incentive so far into the zone."""
    return close_factor(TERMS, into), incentive(TERMS, into)


def test_the_middle_of_the_zone() -> None:
    """At 83 % between 80 and 86, from 5 to 50 % and from 1.01 to 1.0438: half way, 27.5 % and 1.0269."""
    zone = drifted().ledger.zone()
    found = standing(zone, drifted().ledger.position(ALICE))
    assert not isinstance(found, Unknown)
    into = quotient(zone, found)
    assert into == WAD // 2
    assert middle(into) == (275 * WAD // 1000, 10_269 * WAD // 10_000)
    assert (middle(0), middle(WAD)) == ((FACTORS[0], FACTORS[2]), (FACTORS[1], FACTORS[3]))


def test_the_pair_is_that_of_now() -> None:
    """What may be covered, the bonus and the line are those of where the account stands."""
    (pair,) = drifted().ledger.pairs(ALICE)
    assert (pair.bonus, pair.liquidation_threshold) == (Bps(10_269), Bps(8_000))
    assert INSIDE * 275 // 1000 <= int(pair.cover_max) < INSIDE * 276 // 1000


@given(st.integers(min_value=0, max_value=WAD), st.integers(min_value=0, max_value=WAD))
def test_further_in_never_gives_less(one: int, other: int) -> None:
    """Close factor and incentive never fall on the way, and stay between their ends."""
    near, far = sorted((one, other))
    assert all(less <= more for less, more in zip(middle(near), middle(far), strict=True))
    assert FACTORS[0] <= middle(near)[0] <= FACTORS[1]
    assert FACTORS[2] <= middle(near)[1] <= FACTORS[3]


@given(st.integers(min_value=FIRST + 1, max_value=LAST), st.integers(min_value=1, max_value=10**10))
def test_a_cover_is_a_ceiling_and_every_slice_helps(debt: int, cover: int) -> None:
    """Wherever in the zone: a slice is accepted, repays no more than the cover, and no slice but dust lowers health."""
    ledger = drifted(debt).ledger
    told = previewed(ledger, cover)
    before = ledger.margin(ALICE).health_wad
    assert before is not None
    if told.revert is not None:
        assert cover < 2
        return
    assert TokenAmount(0) < told.repaid <= TokenAmount(cover)
    data = ledger.liquidation_call(ALICE, told).data
    form = Form(*(int.from_bytes(data[at : at + 32], "big") for at in (4 + 32, 4 + 2 * 32)))
    now = ledger.outcome(ALICE, form)
    assert isinstance(now, Outcome)
    assert (now.repaid, now.seized) == (told.repaid, told.seized)
    later = ledger.outcome(ALICE, form, at_timestamp=ledger.market().timestamp + CEILING_SECONDS)
    assert later == "LiquidatablePosition" or (isinstance(later, Outcome) and later.repaid <= cover)
    if cover > 10**4:
        assert told.health_after is None or told.health_after > before


def test_the_call_names_shares() -> None:
    """It is the published call, with an empty callback."""
    ledger = drifted().ledger
    (pair,) = ledger.pairs(ALICE)
    data = encode_call("preLiquidate(address,uint256,uint256,bytes)", ALICE, 0, REPAYABLE, b"")
    assert ledger.liquidation_call(ALICE, previewed(ledger, int(pair.cover_max))) == Call(
        CONTRACT, bytes.fromhex(data[2:])
    )


@pytest.mark.parametrize(
    ("debt", "form", "error"),
    [
        (INSIDE, Form(0, 0), "InconsistentInput"),
        (INSIDE, Form(1, 1), "InconsistentInput"),
        (LAST + 1, Form(0, 1), "LiquidatablePosition"),
        (FIRST, Form(0, 1), "NotPreLiquidatablePosition"),
        (INSIDE, Form(0, REPAYABLE + 1), f"PreLiquidationTooLarge({REPAYABLE + 1}, {REPAYABLE})"),
        (INSIDE, Form(0, 1), "zero assets"),
        (INSIDE, Form(2**255, 0), "Panic(0x11)"),
    ],
)
def test_refusals_come_in_the_contracts_order(debt: int, form: Form, error: str) -> None:
    """What is asked for is looked at first, then where the account stands, then the close factor, then Morpho."""
    assert drifted(debt).ledger.outcome(ALICE, form) == error


def test_without_authority_morpho_refuses() -> None:
    """The contract's own checks pass; the withdrawal does not, and there is no pair to size."""
    ledger = drifted().authorize(ALICE, allowed=False)
    assert ledger.outcome(ALICE, Form(0, REPAYABLE)) == "unauthorized"
    assert ledger.pairs(ALICE) == ()
    assert previewed(ledger, 10**6).revert == "unauthorized"


def test_morpho_has_the_last_word() -> None:
    """In the zone by the contract's oracle and unsafe by the market's: what is left is refused."""
    chain = drifted(oracle=OWN_ORACLE)
    chain.price = logs.PRICE * 9 // 10
    chain.block()
    assert chain.ledger.outcome(ALICE, Form(0, REPAYABLE)) == "insufficient collateral"


def test_another_pair_is_not_this_market() -> None:
    """A preview of other tokens is refused."""
    told = drifted().ledger.preview(ALICE, logs.WETH, logs.USDC, TokenAmount(1))
    assert told.revert == "market not created"


def test_a_slice_can_end_the_danger() -> None:
    """All that the close factor lets brings the account from 83 % below the line."""
    ledger = drifted().ledger
    (pair,) = ledger.pairs(ALICE)
    told = previewed(ledger, int(pair.cover_max))
    assert told.health_after is not None
    assert told.health_after > Wad(Wad.ONE)


def test_errors_have_their_names() -> None:
    """The contract's errors are read by name, with the figures of the one that has them."""
    too_large = selector_of("PreLiquidationTooLarge(uint256,uint256)") + word(7) + word(5)
    assert revert_name(too_large) == "PreLiquidationTooLarge(7, 5)"
    assert revert_name(selector_of("LiquidatablePosition()")) == "LiquidatablePosition"
    assert revert_name(ERROR_STRING + word(32) + word(12) + b"unauthorized".ljust(32, b"\0")) == "unauthorized"
    assert revert_name(too_large[:-1]) == "0x" + too_large[:-1].hex()


def test_who_has_nothing_is_nowhere() -> None:
    """An account without debt or collateral is not in the zone."""
    assert drifted().ledger.outcome(BOB, Form(0, 1)) == "NotPreLiquidatablePosition"
