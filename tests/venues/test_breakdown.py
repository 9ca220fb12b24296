"""A breakdown adds up to the figures that decide, for every kind of margin, whatever an account has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.core.margin import CUT, Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.units import BigInt
from keeper.venues.aave_v3 import breakdown as aave
from keeper.venues.aave_v3.margin import Holding, Position, UserAccountData, account_data
from keeper.venues.aave_v3.market import CategoryNow, Market, ReserveNow
from keeper.venues.aave_v3.market import Unknown as AaveUnknown
from keeper.venues.aave_v3.math import PERCENT, RAY, WAD, wad_div
from keeper.venues.aave_v3.rules import RULES_3_0, RULES_3_6
from keeper.venues.perp_v2 import breakdown as perp
from keeper.venues.perp_v2.ledger import contracts_of
from keeper.venues.perp_v2.margin import Account, Figures, figures_of, is_liquidatable
from keeper.venues.perp_v2.market import CollateralNow, MarketNow, Now
from keeper.venues.perp_v2.market import Unknown as PerpUnknown
from keeper.venues.perp_v2.math import Q96, from_settlement
from keeper.venues.perp_v2.state import Config
from keeper.venues.perp_v2.state import Position as PerpPosition
from tests.venues import morpho_logs
from tests.venues.event_logs import address
from tests.venues.synthetic import ALICE, WETH, opened
from tests.venues.test_perp_ledger import CONTRACTS, SPEC

amounts = st.integers(1, 10**24) | st.integers(1, 100)


@st.composite
def reserves(draw: st.DrawFn, index: int) -> ReserveNow:
    """Return a reserve of any price, index and ratios."""
    return ReserveNow(
        address(index),
        index,
        *(address(100 + index), address(200 + index), address(300 + index)),
        income=draw(st.integers(RAY, 3 * RAY)),
        debt_index=draw(st.integers(RAY, 3 * RAY)),
        price=draw(st.integers(1, 10**13)),
        unit=10 ** draw(st.integers(0, 18)),
        ltv=8_000,
        threshold=draw(st.integers(0, PERCENT)),
        bonus=10_500,
        protocol_fee=0,
        live=True,
        paused=False,
        in_grace=False,
        liquidity=None,
        doubt=None,
    )


@st.composite
def aave_accounts(draw: st.DrawFn) -> tuple[Market, Position]:
    """Return a market of either version and an account in it, in an efficiency mode or not."""
    listed = [draw(reserves(index)) for index in range(4)]
    rules = draw(st.sampled_from([RULES_3_0, RULES_3_6]))
    members = draw(st.integers(0, 15))
    mode = CategoryNow(9_000, 9_300, 10_100, has_source=False, price=0, members=members, without_ltv=0)
    market = Market(0, rules, None, None, dict(enumerate(listed)), {each.asset: each for each in listed}, {1: mode})
    holdings = []
    for reserve in listed:
        supplied, owed = draw(st.just(0) | amounts), draw(st.just(0) | amounts)
        stable = draw(st.just(0) | amounts) if rules.stable_debt else 0
        holdings.append(Holding(reserve, bool(supplied), supplied, owed, stable))
    return market, Position(draw(st.integers(0, 1)), tuple(holdings))


@given(aave_accounts())
def test_an_account_of_aave_is_explained_to_the_last_unit(account: tuple[Market, Position]) -> None:
    """Equity over requirement is the contract's health, and less than nothing is left exactly when it is below one."""
    data = account_data(*account)
    assert isinstance(data, UserAccountData)
    (bucket,) = aave.breakdown_of(*account).buckets
    assert bucket.requirement == data.total_debt_base
    if data.total_debt_base and account[0].rules is RULES_3_0:
        assert wad_div(bucket.equity, bucket.requirement) == data.health_factor
    assert (bucket.surplus < 0) == (data.health_factor < WAD)
    cut = [line for line in bucket.lines if line.item == CUT]
    assert all(abs(line.equity) <= 1 + len(bucket.lines) + data.total_collateral_base // PERCENT for line in cut)


def test_a_collateral_says_what_counts_of_it_and_why() -> None:
    """One WETH at 2000 and a threshold of 85 % secures 1700 of a debt of 1500."""
    breakdown = opened().ledger.breakdown(ALICE)
    assert breakdown.kind is MarginKind.CROSS
    (bucket,) = breakdown.buckets
    assert bucket.lines[0] == MarginLine(
        item="collateral",
        asset=WETH,
        amount=BigInt(10**18),
        value=BigInt(2_000 * 10**8),
        weight_wad=BigInt(85 * WAD // 100),
        equity=BigInt(1_700 * 10**8),
        exposure=BigInt(1_700 * 10**8),
    )
    assert (bucket.surplus, breakdown.binding) == (200 * 10**8, bucket)


def test_a_missing_figure_is_the_whole_answer() -> None:
    """Without a price there is no bucket, and the reason is told."""
    chain = opened()
    chain.prices[WETH] = None
    breakdown = chain.block().breakdown(ALICE)
    assert (breakdown.buckets, breakdown.binding) == ((), None)
    assert breakdown.unknown == chain.ledger.margin(ALICE).health.reason


@given(st.integers(0, 10**12))
def test_an_isolated_position_is_explained_to_the_last_unit(debt: int) -> None:
    """What may be owed and what is owed, in loan tokens, decide."""
    ledger = morpho_logs.opened(debt=debt).ledger
    breakdown = ledger.breakdown(morpho_logs.ALICE)
    (bucket,) = breakdown.buckets
    assert (breakdown.kind, bucket.equity) == (MarginKind.ISOLATED, 1_720 * 10**6)
    health = ledger.margin(morpho_logs.ALICE).health_wad
    assert (bucket.surplus < 0) == (health is not None and int(health) < WAD)


TOKEN, MARKETS = address(50), (address(1), address(2))


@st.composite
def perp_accounts(draw: st.DrawFn) -> tuple[Now, Account]:
    """Return markets and a taker with positions, a deposit, another collateral and funding to pay."""
    signed = st.integers(-(10**24), 10**24)
    config = Config(im=100_000, mm=62_500, penalty=25_000, funding_max=100_000, twap=900, mark_twap=1_800, premium=900)
    markets = {base: MarketNow(draw(st.integers(1, 10**23)), draw(signed) * Q96 // 10**18) for base in MARKETS}
    collateral = CollateralNow(
        draw(st.integers(0, 10**6)), 0, draw(st.integers(0, 20)), draw(st.integers(1, 10**12)), 8
    )
    positions = {
        base: PerpPosition(BigInt(draw(signed)), BigInt(draw(signed)), BigInt(0))
        for base in draw(st.sets(st.sampled_from(MARKETS)))
    }
    held = {TOKEN: draw(amounts)} if draw(st.booleans()) else {}
    account = Account(positions, draw(st.integers(-(10**12), 10**12)), held, draw(signed))
    return Now(config, PerpUnknown("not asked"), markets, {TOKEN: collateral}, PerpUnknown("not asked")), account


@given(perp_accounts())
def test_a_perpetual_account_is_explained_to_the_last_unit(account: tuple[Now, Account]) -> None:
    """The terms add up to the account's value and to its requirement, and decide as the contract does."""
    figures = figures_of(*account, CONTRACTS.settlement_decimals)
    assert isinstance(figures, Figures)
    (bucket,) = perp.breakdown_of(*account, figures, contracts_of(SPEC)).buckets
    assert bucket.equity == from_settlement(figures.account_value, CONTRACTS.settlement_decimals)
    assert bucket.requirement == figures.requirement
    assert (bucket.surplus < 0) == is_liquidatable(figures, CONTRACTS.settlement_decimals)
    cut = [abs(line.equity) + abs(line.requirement) for line in bucket.lines if line.item == CUT]
    assert all(each < 10**12 + len(bucket.lines) for each in cut)


def test_the_bucket_that_binds_has_the_least_left_for_its_need() -> None:
    """Of sub-accounts, positions or scenarios it is the worst in proportion; what needs nothing does not bind."""
    wide, tight = (Bucket.of_totals("all", "USD", 1, equity, 100) for equity in (150, 90))
    idle = Bucket.of_totals("all", "USD", 1, -1, 0)
    assert MarginBreakdown(MarginKind.PORTFOLIO, (wide, tight, idle)).binding is tight
    assert MarginBreakdown(MarginKind.PORTFOLIO, (idle,)).binding is None


def test_a_doubt_about_the_market_is_the_reason() -> None:
    """A market that is in doubt explains nobody."""
    market = Market(0, RULES_3_0, AaveUnknown("no revision"), None, {}, {}, {})
    assert aave.breakdown_of(market, Position(0, ())).unknown == "no revision"
