"""Venues' accounts become the risk engine's portfolio, worth what each account's equity is before it is weighed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.ids import Address, to_hex
from keeper.core.margin import MarginBreakdown
from keeper.core.runconfig import IsolatedSpec
from keeper.core.units import BaseAmount, BigInt, Price
from keeper.core.venue import Ledger
from keeper.risk.inputs import Floats
from keeper.risk.instruments import Kind
from keeper.venues.perp_v2 import breakdown as perp
from keeper.venues.perp_v2.ledger import PerpLedger, contracts_of
from keeper.venues.perp_v2.margin import Account, Figures, figures_of
from keeper.venues.perp_v2.market import CollateralNow, MarketNow, Now, Unknown
from keeper.venues.perp_v2.math import from_settlement
from keeper.venues.perp_v2.state import Config, Position
from keeper.venues.portfolio import Statement, Unmapped, VenuePortfolio, portfolio_of, price_usd, statement_of
from tests.engine.history import ALICE as TOY_ALICE
from tests.engine.history import CONFIG, RIVAL, TOKEN, History, position
from tests.engine.toy import GOLD, USD
from tests.venues import morpho_logs, synthetic
from tests.venues.event_logs import address
from tests.venues.test_breakdown import perp_accounts
from tests.venues.test_perp_ledger import CONTRACTS, SPEC

WAD = 10**18
TAKER = address(9)


def values(found: VenuePortfolio) -> Floats:
    """Return what each row is worth: quantities at prices, and cash."""
    market, held = found.instruments, found.portfolio
    worth: Floats = held.held_in(market) @ market.mark_price_usd + held.cash_usd
    return worth


def base(amount: BaseAmount | int) -> float:
    """Return a base amount in USD."""
    return int(amount) / BaseAmount.ONE


def test_an_account_of_aave_is_worth_its_collateral_less_its_debt() -> None:
    """One WETH at 2000 against 1500 USDC is a row worth 500, in two lending instruments."""
    ledger = synthetic.opened().ledger
    found = portfolio_of([ledger])
    margin = ledger.margin(synthetic.ALICE)
    assert found.rows == (("aave", synthetic.ALICE),)
    assert set(found.instruments.kind) == {Kind.LENDING}
    assert found.instruments.underlyings == (to_hex(synthetic.WETH), to_hex(synthetic.USDC))
    assert found.portfolio.quantities.toarray().tolist() == [[1e18, -1.5e9]]
    assert values(found)[0] == pytest.approx(base(margin.collateral_base) - base(margin.debt_base), rel=1e-9)


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_an_account_of_morpho_is_valued_in_dollars_by_the_price_of_its_loan_token(debt: int, loan_price: int) -> None:
    """Collateral of 2000 loan tokens less the debt, times what the operator says a loan token is worth."""
    isolated = IsolatedSpec(market=morpho_logs.MARKET, loan_price=Price(loan_price))
    chain = morpho_logs.Chain(msgspec.structs.replace(morpho_logs.SPEC, isolated=isolated))
    chain.block(morpho_logs.created())
    lent = morpho_logs.morpho_log(
        morpho_logs.SUPPLY, morpho_logs.MARKET, morpho_logs.BOB, morpho_logs.BOB, 10**13, 10**19
    )
    still = morpho_logs.morpho_log(morpho_logs.ACCRUE, morpho_logs.MARKET, morpho_logs.RATE, 0, 0)
    who = morpho_logs.ALICE
    pledged = morpho_logs.morpho_log(morpho_logs.PLEDGE, morpho_logs.MARKET, who, who, WAD)
    owed = morpho_logs.morpho_log(morpho_logs.BORROW, morpho_logs.MARKET, who, who, who, debt, debt * 10**6)
    chain.block(still, lent, pledged, owed)
    found = portfolio_of([chain.ledger], [who])
    expected = (2_000 - debt / 10**6) * loan_price / 10**8
    assert values(found)[0] == pytest.approx(expected, rel=1e-6, abs=1e-6 * (2_000 + debt / 10**6) * loan_price / 10**8)


class Taker(PerpLedger):
    """The exchange at some figures, with one taker."""

    def __init__(self, now: Now, account: Account) -> None:
        super().__init__(SPEC)
        self.held = account
        self.now = self._now = now

    def breakdown(self, account: Address) -> MarginBreakdown:  # noqa: ARG002 - there is one
        """Explain the taker's margin."""
        figures = figures_of(self.now, self.held, CONTRACTS.settlement_decimals)
        assert isinstance(figures, Figures)
        return perp.breakdown_of(self.now, self.held, figures, contracts_of(SPEC))


@given(perp_accounts())
def test_a_perpetual_account_is_worth_its_deposits_its_positions_and_their_entry(taken: tuple[Now, Account]) -> None:
    """Deposits at their whole price, positions less their entry, profit and funding: the vault's sum, unweighed."""
    now, account = taken
    whole = {
        token: msgspec.structs.replace(each, ratio=10**6)
        for token, each in now.collaterals.items()
        if isinstance(each, CollateralNow)
    }
    figures = figures_of(msgspec.structs.replace(now, collaterals=whole), account, CONTRACTS.settlement_decimals)
    assert isinstance(figures, Figures)
    expected = from_settlement(figures.account_value, CONTRACTS.settlement_decimals) / WAD
    statement = statement_of(Taker(*taken), TAKER)
    if isinstance(statement, Unmapped):
        assert statement.reason.endswith("is zero")
        return
    gross = sum(abs(term.value_usd) for term in statement.terms) + abs(statement.cash_usd)
    found = portfolio_of([Taker(*taken)], [TAKER])
    total = values(found)[0] if found.rows else 0.0
    assert total == pytest.approx(expected, abs=1e-6 * gross + 1e-5)


def test_a_position_is_a_perpetual_with_its_entry_in_cash_and_a_deposit_is_spot() -> None:
    """Three coins bought at 1,900 with 1,000 deposited: three of a perpetual, a deposit, and 5,700 of cash owed."""
    account = Account({address(1): _position(3 * WAD, -5_700 * WAD)}, 1_000 * 10**6, {}, 0)
    found = portfolio_of([Taker(now_at(), account)], [TAKER])
    kinds = [Kind(each) for each in found.instruments.kind]
    assert kinds == [Kind.SPOT, Kind.PERPETUAL]
    assert found.portfolio.quantities.toarray()[0].tolist() == [1e9, 3e18]
    assert found.portfolio.cash_usd[0] == pytest.approx(-5_700)
    assert values(found)[0] == pytest.approx(1_300)


def test_a_short_position_is_a_negative_quantity_with_its_proceeds_in_cash() -> None:
    """Two coins sold at 2,100 and worth 2,000 now have earned 200."""
    account = Account({address(1): _position(-2 * WAD, 4_200 * WAD)}, 0, {}, 0)
    found = portfolio_of([Taker(now_at(), account)], [TAKER])
    assert found.portfolio.quantities.toarray()[0].tolist() == [-2e18]
    assert values(found)[0] == pytest.approx(200)


def test_one_that_provides_liquidity_is_told_apart() -> None:
    """The exchange tells two figures of it and no holdings, so it is unmapped and never worth nothing."""

    class Maker(Taker):
        def breakdown(self, account: Address) -> MarginBreakdown:  # noqa: ARG002 - there is one
            return perp.told(contracts_of(SPEC), 100 * WAD, 10 * WAD)

    found = portfolio_of([Maker(now_at(), Account({}, 0, {}, 0))], [TAKER])
    assert (found.rows, len(found.portfolio), len(found.instruments)) == ((), 0, 0)
    assert found.unmapped == (("perp", TAKER, "its margin is not told in holdings: as the contracts say"),)


def test_an_unknown_margin_is_told_with_its_reason() -> None:
    """Of two accounts of the toy the one without a price has no row."""
    history = History()
    history.market()
    history.block(("set", RIVAL, GOLD, 1, 0), *position(RIVAL, usd=1)[1:])
    found = portfolio_of(list(history.engine.ledgers.values()))
    assert found.rows == (("toy", TOY_ALICE),)
    assert found.unmapped == (("toy", RIVAL, "no price"),)
    assert values(found)[0] == pytest.approx(20_000 - 15_000, rel=1e-9)


def test_a_price_of_zero_gives_no_figure() -> None:
    """What is worth nothing is no instrument: its owner is told apart."""
    account = Account({address(1): _position(WAD, -1_900 * WAD)}, 0, {}, 0)
    found = portfolio_of([Taker(now_at(mark=0), account)], [TAKER])
    assert found.unmapped == (("perp", TAKER, f"the price of {to_hex(address(1))} is zero"),)


def test_who_has_nothing_at_a_venue_has_no_row_there() -> None:
    """An account is asked for at both venues and has a row at the one where it owes."""
    toy: Ledger = _toy()
    found = portfolio_of([toy, synthetic.opened().ledger], [TOY_ALICE, synthetic.ALICE])
    assert found.rows == (("toy", TOY_ALICE), ("aave", synthetic.ALICE))
    assert found.unmapped == ()


def test_one_token_is_one_underlying_whichever_venue_holds_it() -> None:
    """WETH at Aave and at Morpho are two instruments on one underlying."""
    found = portfolio_of([synthetic.opened().ledger, morpho_logs.opened().ledger])
    assert found.instruments.underlyings == (to_hex(synthetic.WETH), to_hex(synthetic.USDC))
    assert [name.split()[0] for name in found.instruments.names] == ["aave", "aave", "morpho", "morpho"]


def test_a_price_of_its_own_is_an_instrument_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a mode prices a token otherwise for one account, its value is by that price, and the other's is not."""
    ledger = synthetic.opened().ledger
    dear = ledger.breakdown(synthetic.ALICE)
    (bucket,) = dear.buckets
    line = msgspec.structs.replace(bucket.lines[0], value=BigInt(2_100 * 10**8))
    told = MarginBreakdown(dear.kind, (msgspec.structs.replace(bucket, lines=(line, *bucket.lines[1:])),), unknown=None)
    monkeypatch.setattr(ledger, "breakdown", lambda _: told)
    found = portfolio_of([ledger])
    assert values(found)[0] == pytest.approx(600, rel=1e-9)
    assert found.instruments.names[0].endswith("at 2.1e-15")


def test_a_statement_says_what_moves_what_is_left() -> None:
    """Of a collateral what is counted, of a debt all of it; both figures are the venue's own, in USD."""
    statement = statement_of(synthetic.opened().ledger, synthetic.ALICE)
    assert isinstance(statement, Statement)
    assert [term.counted_usd for term in statement.terms] == pytest.approx([1_700, -1_500])
    assert (statement.surplus_usd, statement.requirement_usd) == pytest.approx((200, 1_500))


def test_a_token_that_no_venue_lists_has_no_price() -> None:
    """The price of one unit is the venue's value of very many, over so many; of a stranger there is none."""
    toy = _toy()
    assert price_usd(toy, USD) == pytest.approx(1 / TOKEN, rel=1e-12)
    assert price_usd(toy, GOLD) is None


def _toy() -> Ledger:
    history = History(CONFIG)
    history.market()
    return history.engine.ledgers["toy"]


def _position(size: int, open_notional: int) -> Position:
    return Position(BigInt(size), BigInt(open_notional), BigInt(0))


def now_at(mark: int = 2_000 * WAD) -> Now:
    """Return an exchange of one market at a mark price."""
    config = Config(im=100_000, mm=62_500, penalty=25_000, funding_max=100_000, twap=900, mark_twap=1_800, premium=900)
    return Now(config, Unknown("not read"), {address(1): MarketNow(mark, 0)}, {}, Unknown("not read"))
