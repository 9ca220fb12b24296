"""Portfolio margins are those of the contracts and the documentation, and behave as a margin has to."""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.grouping import GroupedBook
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from keeper.risk.portfolio import DeriveMargins, derive_margins, grid_margins
from keeper.risk.revaluation import coin_table, price_table
from keeper.risk.scenarios import (
    DERIVE_MAINNET,
    DERIVE_TEST,
    DeriveParameters,
    GridParameters,
    ScenarioSet,
    VolShock,
    deribit,
    span16,
)
from tests.risk.derive_cases import CASES, margins
from tests.risk.markets import book, listing, years

PORTFOLIO_CASES = msgspec.structs.replace(
    DERIVE_TEST, rate_addend=0.12, confidence_factor=0.4, base_share=0.025, perpetual_share=0.025
)
"""What Derive's TestPMRM_PortfolioCases overrides."""
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", CASES)
def test_every_margin_of_derives_manager_is_found(name: str) -> None:
    """Derive v2-core, testAndVerifyScenarios.json: all fields of the result, each to 1e-6 USD."""
    found, expected = margins(CASES[name]), CASES[name].expected

    assert found.initial_usd[0] == pytest.approx(expected.initial, abs=1e-6)
    assert found.maintenance_usd[0] == pytest.approx(expected.maintenance, abs=1e-6)
    assert found.value_usd[0] == pytest.approx(expected.value, abs=1e-6)
    assert found.static_usd[0] == pytest.approx(expected.static, abs=1e-6)
    assert found.basis_usd[0] == pytest.approx(expected.basis, abs=1e-6)
    assert found.confidence_usd[0] == pytest.approx(expected.confidence, abs=1e-6)
    if expected.scenarios is not None:
        assert found.span_usd[0] == pytest.approx(expected.scenarios, abs=1e-6)


def test_the_basis_contingency_can_be_what_binds() -> None:
    """In Derive's thirteenth test no scenario does: the worst one's number is the number of scenarios."""
    assert margins(CASES["Test13"]).worst[0] == len(DERIVE_TEST.scenarios)
    assert margins(CASES["Test1"]).worst[0] < len(DERIVE_TEST.scenarios)


def test_a_falling_peg_raises_the_initial_factor_only() -> None:
    """Derive's twelfth test: at 0.90 the factor is 1.30 + 0.08 * 2."""
    assert margins(CASES["Test12"]).initial_factor == pytest.approx(1.46)


ETH = Underlying(name="ETH", spot_usd=2000.0)
FORWARDS = {10: 2002.83305, 17: 2004.7545, 57: 2015.7696}


def option(days: int, strike: float, kind: str) -> Contract:
    """Return an option of Derive's portfolio cases: eight hours more, 50 % volatility, a rate of 2 %."""
    return Contract(
        name=f"{days} {strike:g} {kind}",
        kind=Kind.OPTION,
        underlying="ETH",
        expiry_years=years(days=days + 1 / 3),
        strike_usd=strike,
        is_call=kind == "call",
        forward_variable_usd=FORWARDS[days],
        vol_annual=0.5,
        rate_annual=0.02,
    )


STRIKES = (500, 700, 800, 900, 1000, 1400, 1600, 1700, 1900, 2000, 2200, 2700, 3000, 3500, 3700, 3900)
CASE_MARKET = Instruments.of(
    [
        Contract(name="ETH", kind=Kind.SPOT, underlying="ETH", mark_price_usd=2000.0),
        Contract(name="PERP", kind=Kind.PERPETUAL, underlying="ETH", mark_price_usd=2001.0),
        *(option(*each) for each in product(FORWARDS, STRIKES, ("call", "put"))),
    ],
    [ETH],
)


def margins_of(
    held: dict[str, float],
    cash: float = 0.0,
    instruments: Instruments = CASE_MARKET,
    parameters: DeriveParameters = DERIVE_TEST,
) -> DeriveMargins:
    """Return one account's margins."""
    portfolio = Portfolio.of(instruments, [(held, cash)])
    return derive_margins(instruments, GroupedBook.of(instruments, portfolio), parameters)


@pytest.mark.parametrize(
    ("held", "initial", "maintenance"),
    [
        ({"17 1400 call": -1}, -1021, -925),
        ({"17 3000 put": -1.5}, -2118, -1973),
        ({"17 2000 put": 1}, -23, 1),
        ({"17 2000 call": 1}, -26, 0),
        ({"17 2700 call": 1}, 0, 0),
        ({"17 1700 put": -1}, -168, -131),
        ({"10 500 call": 1, "10 700 call": -1}, 160, 169),
        ({"10 3500 call": 1, "10 3700 call": -1}, -26, -20),
        ({"10 500 call": -1, "10 700 call": 1}, -226, -220),
        ({"10 3500 call": -1, "10 3700 call": 1}, -26, -20),
        ({"10 3500 put": -1, "10 3900 put": 1}, 346, 358),
        ({"10 800 put": -1, "10 900 put": 1}, -26, -20),
        ({"10 1900 put": 1, "10 2200 put": -1}, -360, -319),
        ({"10 1600 put": 1, "10 1900 put": -1}, -270, -213),
        ({"10 1000 call": 1, "10 2000 put": 1, "10 1000 put": -1, "10 2000 call": -1}, 930, 946),
        ({"10 1000 call": -1, "10 2000 put": -1, "10 1000 put": 1, "10 2000 call": 1}, -1000, -1000),
    ],
)
def test_spreads_have_the_margins_of_derives_portfolio_cases(
    held: dict[str, float], initial: int, maintenance: int
) -> None:
    """Derive v2-core, test-cases-portfolio-pm.json at 8627da5, cut to whole dollars towards zero.

    Its "short OTM call" is a long one.
    """
    found = margins_of(held)

    assert (int(found.initial_usd[0]), int(found.maintenance_usd[0])) == (initial, maintenance)


@pytest.mark.parametrize(
    ("held", "cash", "initial", "maintenance"),
    [
        ({"PERP": 1}, -2000, -454, -349),
        ({"ETH": 1}, 0, 1545, 1650),
        ({"10 1000 call": 1, "10 2000 put": 1, "10 1000 put": -1, "10 2000 call": -1}, 0, 928, 944),
    ],
)
def test_linear_positions_and_boxes_have_the_margins_of_derives_portfolio_cases(
    held: dict[str, float], cash: float, initial: int, maintenance: int
) -> None:
    """Derive v2-core, TestPMRM_PortfolioCases: perpetual at 2,001 entered at 2,000, a coin, a long box."""
    found = margins_of(held, cash, parameters=PORTFOLIO_CASES)

    assert (int(found.initial_usd[0]), int(found.maintenance_usd[0])) == (initial, maintenance)


def test_two_boxes_of_two_expiries_have_the_margin_of_derives_portfolio_case() -> None:
    """Derive v2-core, test_long_box_short_box_different_expiries_pm: -103 and -79, only positive totals discounted."""
    long = {"57 1000 call": 1.0, "57 2000 put": 1.0, "57 1000 put": -1.0, "57 2000 call": -1.0}
    short = {"17 1000 call": -1.0, "17 2000 put": -1.0, "17 1000 put": 1.0, "17 2000 call": 1.0}

    found = margins_of(long | short, parameters=PORTFOLIO_CASES)

    assert (int(found.initial_usd[0]), int(found.maintenance_usd[0])) == (-103, -79)


def test_a_doubtful_oracle_costs_the_initial_margin_its_share_of_the_size() -> None:
    """Derive's low-confidence perpetual: -1,179 and -354 with confidence 0.1, and 5 USD of loss that is not settled."""
    doubtful = CASE_MARKET.replaced(spot_confidence=[0.1])

    found = margins_of({"PERP": 1}, -2005, doubtful, PORTFOLIO_CASES)

    assert (int(found.initial_usd[0]), int(found.maintenance_usd[0])) == (-1179, -354)


def test_an_inverse_perpetual_gains_coins_as_deribit_documents() -> None:
    """docs.deribit.com, private/pme/simulate: N/S (1 - 1/(1 + k)) with N/S 0.314538364."""
    spot = 50_000.0
    perpetual = Contract(name="BTC-PERP", kind=Kind.PERPETUAL, underlying="BTC", mark_price_usd=spot, inverse=True)
    instruments = Instruments.of([perpetual], [Underlying(name="BTC", spot_usd=spot)])
    held = Portfolio.of(instruments, [({"BTC-PERP": 0.314538364 * spot}, 0.0)])
    parameters = deribit(100_000.0)

    found = grid_margins(instruments, GroupedBook.of(instruments, held), parameters, in_coins=True)

    gains = dict(zip(np.round(parameters.scenarios.spot_moves, 2).tolist(), found.gains[0].tolist(), strict=True))
    documented = {
        -0.16: -0.05991206933,
        -0.12: -0.04289159510,
        -0.08: -0.02735116209,
        -0.04: -0.01310576517,
        0.0: 0.0,
        0.04: 0.01209762939,
        0.08: 0.0232991381,
    }
    assert {move: gains[move] for move in documented} == pytest.approx(documented, abs=1e-9)
    assert found.requirement[0] == pytest.approx(0.05991206933, abs=1e-9)
    assert found.maintenance[0] - found.value[0] == pytest.approx(-0.8 * 0.05991206933, abs=1e-9)


def test_the_extended_table_asks_for_what_the_grid_does_not_see() -> None:
    """Many calls far out of the money lose little within 16 % and much at five times the price."""
    call = msgspec.structs.replace(option(17, 3900, "call"), inverse=True)
    instruments = Instruments.of([call], [ETH])
    compiled = GroupedBook.of(instruments, Portfolio.of(instruments, [({call.name: -1000.0}, 0.0)]))

    found = grid_margins(instruments, compiled, deribit(25_000.0))
    undampened = grid_margins(instruments, compiled, deribit(0.0))

    assert found.worst[0] == len(deribit(25_000.0).scenarios)
    assert undampened.requirement[0] - found.requirement[0] == pytest.approx(25_000.0)
    assert found.requirement[0] > -found.gains.min()


def test_span_covers_a_third_of_an_extreme_move() -> None:
    """Of a short perpetual the whole range is scanned, and of three ranges a third: 0.15 against 0.45 * 0.33."""
    instruments = Instruments.of(
        [Contract(name="P", kind=Kind.PERPETUAL, underlying="ETH", mark_price_usd=2000.0)], [ETH]
    )
    compiled = GroupedBook.of(instruments, Portfolio.of(instruments, [({"P": -1.0}, 5_000.0)]))

    assert grid_margins(instruments, compiled, span16(0.15, 0.2)).requirement[0] == pytest.approx(300.0)
    found = grid_margins(instruments, compiled, span16(0.15, 0.2, cover=0.35))
    assert found.requirement[0] == pytest.approx(2000 * 0.45 * 0.35)
    assert found.initial[0] == pytest.approx(3_000.0 - 315.0)


def accounts(seed: int, count: int = 12, legs: int = 5) -> tuple[Instruments, Portfolio]:
    """Return a random market of two underlyings, and accounts in it."""
    chance = np.random.default_rng(seed)
    instruments = listing(chance, 16)
    return instruments, book(chance, instruments, count, legs)


def both(
    instruments: Instruments, portfolio: Portfolio, parameters: DeriveParameters | GridParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Return initial and maintenance margins by either kind of parameters."""
    compiled = GroupedBook.of(instruments, portfolio)
    if isinstance(parameters, GridParameters):
        grid = grid_margins(instruments, compiled, parameters)
        return grid.initial, grid.maintenance
    derive = derive_margins(instruments, compiled, parameters)
    return derive.initial_usd, derive.maintenance_usd


EVERY = pytest.mark.parametrize(
    "parameters", [DERIVE_MAINNET, deribit(0.0), span16(0.15, 0.25)], ids=["derive", "deribit", "span"]
)


@pytest.mark.slow
@EVERY
@given(seed=seeds)
def test_twice_the_book_has_twice_the_margin(parameters: DeriveParameters | GridParameters, seed: int) -> None:
    """A margin without tiers is homogeneous."""
    instruments, portfolio = accounts(seed)
    twice = Portfolio(portfolio.quantities * 2.0, portfolio.cash_usd * 2.0)

    for once, doubled in zip(
        both(instruments, portfolio, parameters), both(instruments, twice, parameters), strict=True
    ):
        assert doubled == pytest.approx(2.0 * once, rel=1e-9, abs=1e-6)


@pytest.mark.slow
@EVERY
@given(seed=seeds, cash=st.floats(-1e6, 1e6))
def test_cash_raises_a_margin_one_for_one(
    parameters: DeriveParameters | GridParameters, seed: int, cash: float
) -> None:
    """A dollar is a dollar, of both margins."""
    instruments, portfolio = accounts(seed)
    richer = Portfolio(portfolio.quantities, portfolio.cash_usd + cash)

    for before, after in zip(
        both(instruments, portfolio, parameters), both(instruments, richer, parameters), strict=True
    ):
        assert after - before == pytest.approx(np.full(len(before), cash), rel=1e-9, abs=1e-6)


@pytest.mark.slow
@EVERY
@given(seed=seeds)
def test_the_initial_margin_is_never_above_the_maintenance_margin(
    parameters: DeriveParameters | GridParameters, seed: int
) -> None:
    """Who may add to a position is not to be liquidated."""
    initial, maintenance = both(*accounts(seed), parameters)

    assert np.all(initial <= maintenance + 1e-9)


@pytest.mark.slow
@given(seed=seeds, fewer=st.integers(1, 22))
def test_more_scenarios_never_raise_a_margin(seed: int, fewer: int) -> None:
    """The worst of more is not better."""
    instruments, portfolio = accounts(seed)
    scenarios = DERIVE_MAINNET.scenarios
    some = ScenarioSet(
        names=scenarios.names[:fewer],
        spot_moves=scenarios.spot_moves[:fewer],
        vol_shocks=scenarios.vol_shocks[:fewer],
        shares=scenarios.shares[:fewer],
    )

    of_some = both(instruments, portfolio, msgspec.structs.replace(DERIVE_MAINNET, scenarios=some))
    of_all = both(instruments, portfolio, DERIVE_MAINNET)

    assert all(np.all(all_ <= some_ + 1e-9) for all_, some_ in zip(of_all, of_some, strict=True))


@pytest.mark.slow
@EVERY
@given(seed=seeds, closed=st.floats(0.01, 1.0))
def test_closing_a_single_short_at_market_never_makes_it_worse(
    parameters: DeriveParameters | GridParameters, seed: int, closed: float
) -> None:
    """What is bought back at its price needs no margin any more."""
    chance = np.random.default_rng(seed)
    instruments = listing(chance, 16)
    shorts = -np.diag(chance.uniform(0.1, 5.0, len(instruments)))
    now = price_table(instruments, np.ones(1), np.array([VolShock.NONE]), DERIVE_TEST.vol_rule)[:, 0]
    proceeds = -(shorts @ now)

    before = both(instruments, Portfolio(shorts, proceeds), parameters)
    left = Portfolio(shorts * (1.0 - closed), proceeds * (1.0 - closed))
    after = both(instruments, left, parameters)

    assert all(np.all(later >= first - 1e-6) for first, later in zip(before, after, strict=True))


def test_the_largest_books_are_valued_as_the_smallest() -> None:
    """Chunks, empty rows and rows of one leg change no account's margin."""
    chance = np.random.default_rng(17)
    instruments = listing(chance, 60, expiries=9)
    portfolio = book(chance, instruments, 700, 30)
    dense = portfolio.quantities.toarray()
    dense[::7] = 0.0
    whole = Portfolio(dense, portfolio.cash_usd)
    together = both(instruments, whole, DERIVE_MAINNET)

    for place in (0, 1, 6, 7, 333, 699):
        alone = Portfolio(dense[place : place + 1], portfolio.cash_usd[place : place + 1])
        for all_, one in zip(together, both(instruments, alone, DERIVE_MAINNET), strict=True):
            assert all_[place] == pytest.approx(one[0], rel=1e-12)
    assert together[0][7] == portfolio.cash_usd[7]


def test_underlyings_do_not_offset_each_other() -> None:
    """Two underlyings' margins are the sum of each one's alone."""
    chance = np.random.default_rng(23)
    instruments = listing(chance, 20)
    dense = book(chance, instruments, 10, 12).quantities.toarray()
    on_first = instruments.underlying == 0
    whole, first, second = (
        derive_margins(instruments, GroupedBook.of(instruments, Portfolio(rows, np.zeros(10))), DERIVE_MAINNET)
        for rows in (dense, dense * on_first, dense * ~on_first)
    )

    assert whole.maintenance_usd == pytest.approx(first.maintenance_usd + second.maintenance_usd, rel=1e-9)


def test_an_inverse_option_is_worth_blacks_price_over_the_shocked_forward() -> None:
    """Deribit's mark: in coins the price over F, in USD the price."""
    contract = msgspec.structs.replace(option(17, 2000, "call"), inverse=True)
    coin = Contract(name="ETH", kind=Kind.SPOT, underlying="ETH", mark_price_usd=2000.0)
    linear = Contract(name="PERP", kind=Kind.PERPETUAL, underlying="ETH", mark_price_usd=2001.0)
    future = msgspec.structs.replace(contract, name="F", kind=Kind.FUTURE, inverse=True)
    instruments = Instruments.of([contract, coin, linear, future], [ETH])
    factors, shocks = np.array([1.0, 0.9]), np.array([VolShock.NONE, VolShock.UP])

    dollars = price_table(instruments, factors, shocks, DERIVE_TEST.vol_rule)
    coins = coin_table(instruments, factors, shocks, DERIVE_TEST.vol_rule)

    assert coins[0] == pytest.approx(dollars[0] / (2004.7545 * factors))
    assert coins[1].tolist() == [1.0, 1.0]
    assert coins[2] == pytest.approx(np.full(2, 2001.0 / 2000.0))
    assert coins[3] == pytest.approx(-1.0 / (2004.7545 * factors))
    assert dollars[3] == pytest.approx(factors)


def test_coins_of_two_underlyings_are_not_added() -> None:
    """A bitcoin is not an ether."""
    with pytest.raises(RiskInputError, match="on 2 underlyings; count in coins for one underlying at a time"):
        coin_table(accounts(1)[0], np.ones(1), np.zeros(1, np.int64), DERIVE_TEST.vol_rule)


def test_a_book_is_valued_in_the_listing_it_was_compiled_for() -> None:
    """Other instruments, and two rates for one expiry, are refused by name."""
    instruments, portfolio = accounts(3)
    compiled = GroupedBook.of(instruments, portfolio)
    rates = instruments.rate_annual.copy()
    place = int(np.flatnonzero(instruments.is_option)[-1])
    rates[place] = 0.5

    with pytest.raises(RiskInputError, match="compile it again"):
        derive_margins(CASE_MARKET, compiled, DERIVE_TEST)
    with pytest.raises(RiskInputError, match=r"has another rate than the others of its expiry"):
        derive_margins(instruments.replaced(rate_annual=rates), compiled, DERIVE_TEST)
    with pytest.raises(RiskInputError, match="stable_price_usd"):
        derive_margins(instruments, compiled, DERIVE_TEST, 0.0)


def test_who_holds_nothing_has_his_cash() -> None:
    """An empty book is no special case."""
    found = margins_of({}, 12.5)

    assert (found.initial_usd[0], found.maintenance_usd[0], len(found.worst)) == (12.5, 12.5, 0)
