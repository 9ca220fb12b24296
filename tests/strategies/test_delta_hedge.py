"""What is held and owed is added up, and the opposite is proposed: all of it, or nothing within the band."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import Address, content_id
from keeper.core.own_money import HedgePlan
from keeper.core.runconfig import DeltaHedgeSpec
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount
from keeper.core.venue import Call, Preview
from strategies.delta_hedge import WALLET, decide
from tests.engine.history import ALICE, BOB, PRICES, TOKEN, UNIT, VENUE_SPEC
from tests.engine.toy import ETH, EUR, GOLD, NATIVE, USD, ToyLedger, pool_log
from tests.strategies.fixed_view import View

WHOLE = 10**18
SPEC = DeltaHedgeSpec(
    name="delta_hedge",
    venues=("toy",),
    signer="main",
    accounts=(ALICE,),
    hedge_venue="toy",
    exposures=((ETH, NATIVE),),
    band_base=BaseAmount(1_000 * UNIT),
    slippage_bps=Bps(50),
)
"""NATIVE stands for the base token: 18 decimals, at 2,000 as ETH is."""


class Positions:
    """An exchange's takeovers, of which only the positions are asked for."""

    target = Address(b"\x66" * 20)

    def __init__(self, **held: int) -> None:
        self.sizes = held

    def held(self, account: Address) -> tuple[tuple[Address, BigInt], ...]:
        """One position of ALICE's and one in another market."""
        return ((NATIVE, BigInt(self.sizes.get("alice", 0))), (GOLD, BigInt(5 * WHOLE))) if account == ALICE else ()

    def largest(self, account: Address) -> tuple[tuple[Address, TokenAmount], ...]:
        """Not asked."""
        raise NotImplementedError(account)

    def preview(self, account: Address, market: Address, size: TokenAmount, taker: Address) -> Preview:
        """Not asked."""
        raise NotImplementedError(account, market, size, taker)

    def exit_call(self, account: Address, market: Address, slippage: Bps) -> Call | None:
        """Not asked."""
        raise NotImplementedError(account, market, slippage)

    def moved(self, log: RawLog) -> Address | None:
        """Not asked."""
        raise NotImplementedError(log)


class Wallet(View[ToyLedger]):
    """A head, and what the signer (BOB) holds of each token; of GOLD nothing was read."""

    def __init__(self, ledger: ToyLedger, held: dict[Address, int]) -> None:
        super().__init__(ledger)
        self._held = held

    def balance(self, token: Address) -> TokenAmount | None:
        """The balance."""
        return None if token == GOLD else TokenAmount(self._held.get(token, 0))


def ledger_of(*held: tuple[Address, int, int], prices: dict[Address, int] = PRICES, position: int = 0) -> ToyLedger:
    """Return a venue where ALICE has so much collateral and debt of tokens, and a position in 1e-18."""
    ledger = ToyLedger(VENUE_SPEC)
    ledger.begin_block(BlockHeader(1, content_id("block"), content_id("none"), 0, 0, b""))
    logs: list[tuple[object, ...]] = [("price", token, price) for token, price in prices.items()]
    for place, log in enumerate([*logs, *(("set", ALICE, *each) for each in held)]):
        ledger.apply_log(pool_log(place, content_id("tx"), *log))
    ledger.takeovers = Positions(alice=position)
    return ledger


def planned(ledger: ToyLedger, wallet: dict[Address, int] | None = None, **changes: object) -> list[HedgePlan]:
    """Return the plans for a wallet and ALICE's account."""
    spec = replace(SPEC, **changes)
    return list(decide(Wallet(ledger, wallet or {}), [ledger.margin(ALICE)], spec))


def test_wallet_collateral_debt_and_position_add_up() -> None:
    """3 in the wallet and 10 as collateral, less 4 owed and 2 already sold, is 7 long: 7 are to be sold."""
    ledger = ledger_of((ETH, 10 * TOKEN, 4 * TOKEN), position=-2 * WHOLE)
    (plan,) = planned(ledger, {ETH: 3 * TOKEN})
    assert (plan.size, plan.size_base) == (-7 * WHOLE, BaseAmount(-14_000 * UNIT))
    assert (plan.delta_base, plan.position) == (BaseAmount(14_000 * UNIT), -2 * WHOLE)
    assert [(each.where, each.account, int(each.amount), int(each.value_base)) for each in plan.exposures] == [
        (WALLET, BOB, 3 * TOKEN, 6_000 * UNIT),
        ("toy", ALICE, 10 * TOKEN, 20_000 * UNIT),
        ("toy", ALICE, -4 * TOKEN, -8_000 * UNIT),
    ]
    assert (plan.market, plan.account, plan.venue) == (NATIVE, BOB, "toy")


@pytest.mark.parametrize(("wallet", "bound_usd"), [(10, 1_990), (0, 2_010)])
def test_the_bound_is_on_the_worse_side_of_the_mark(wallet: int, bound_usd: int) -> None:
    """Half a hundredth below for who sells, above for who buys."""
    (plan,) = planned(ledger_of((ETH, 0, 5 * TOKEN)), {ETH: wallet * TOKEN})
    assert (plan.mark_base, plan.bound_base) == (BaseAmount(2_000 * UNIT), BaseAmount(bound_usd * UNIT))
    assert (plan.size < 0) is bool(wallet)


@pytest.mark.parametrize(("milli", "size"), [(500, 0), (501, -501 * WHOLE // 1_000)])
def test_the_band_itself_is_left_alone(milli: int, size: int) -> None:
    """A thousand dollars are within the band, and a little more is hedged whole."""
    (plan,) = planned(ledger_of(), {ETH: milli * TOKEN // 1_000})
    assert (plan.size, plan.why) == (size, "beyond the band" if size else "within the band")


def test_tokens_that_share_a_market_are_netted() -> None:
    """What is long in one token and short in another of the same market is nothing."""
    ledger = ledger_of((USD, 0, 20_000 * TOKEN))
    (plan,) = planned(ledger, {ETH: 10 * TOKEN}, exposures=((ETH, NATIVE), (USD, NATIVE)))
    assert (plan.size, plan.delta_base) == (0, BaseAmount(0))
    assert len(plan.exposures) == 2


def test_each_market_has_its_own_plan() -> None:
    """In the order of the map."""
    plans = planned(ledger_of(), {ETH: 10 * TOKEN, EUR: 5_000 * TOKEN}, exposures=((EUR, ETH), (ETH, NATIVE)))
    assert [(plan.market, plan.delta_base) for plan in plans] == [
        (ETH, BaseAmount(5_000 * UNIT)),
        (NATIVE, BaseAmount(20_000 * UNIT)),
    ]


def test_what_is_not_mapped_does_not_count() -> None:
    """Dollars are no exposure."""
    (plan,) = planned(ledger_of((USD, 50_000 * TOKEN, 0)), {USD: 10**6 * TOKEN})
    assert (plan.exposures, plan.size) == ((), 0)


def test_an_unknown_figure_makes_no_plan() -> None:
    """A balance that was not read, a token or a market without a price, an account whose health is unknown."""
    assert planned(ledger_of(), {ETH: TOKEN}, exposures=((ETH, NATIVE), (GOLD, NATIVE))) == []
    assert planned(ledger_of(prices={NATIVE: PRICES[NATIVE]}), {ETH: TOKEN}) == []
    assert planned(ledger_of(prices={ETH: PRICES[ETH]}), {ETH: TOKEN}) == []
    assert planned(ledger_of((GOLD, 1, 1)), {ETH: TOKEN}) == []


def test_what_is_not_there_needs_no_price() -> None:
    """A token of which nothing is held does not stand in the way."""
    (plan,) = planned(ledger_of(prices={NATIVE: PRICES[NATIVE]}))
    assert plan.size == 0


@given(wallet=st.integers(0, 50 * TOKEN), debt=st.integers(0, 50 * TOKEN), position=st.integers(-(10**20), 10**20))
def test_a_hedge_leaves_nothing_to_hedge(wallet: int, debt: int, position: int) -> None:
    """Once it has been traded the delta is nothing but what division cuts off, and the next plan is none."""
    (plan,) = planned(ledger_of((ETH, 0, debt), position=position), {ETH: wallet})
    (after,) = planned(ledger_of((ETH, 0, debt), position=position + int(plan.size)), {ETH: wallet})
    assert abs(int(plan.size_base)) <= abs(int(plan.delta_base))
    assert after.size == 0
    assert abs(int(after.delta_base)) <= (1 if plan.size else int(SPEC.band_base))
