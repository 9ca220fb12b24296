"""The rules of v3.6, on a small market of scripted logs: what the random market meets rarely, or only together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount
from keeper.core.venue import Preview
from keeper.venues.aave_v3.math import RAY, ray_div_ceil, ray_div_floor, ray_mul_ceil, ray_mul_floor
from keeper.venues.aave_v3.rules import RULES_3_6
from tests.venues.event_logs import log_of
from tests.venues.synthetic import (
    A_TOKEN,
    ALICE,
    BOB,
    CONFIGURATOR,
    DISABLED,
    POOL_PROXY,
    RATES,
    TRANSFER,
    USDC,
    WETH,
    Chain,
    borrowed,
    opened,
    supplied,
)

ALL = TokenAmount(UINT256_MAX)
REVISION = 10
GRACE = "LiquidationGracePeriodChanged(address,uint40)"
GRACE_ENDED = "LiquidationGracePeriodDisabled(address)"
CATEGORY = "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)"
MEMBER = "AssetCollateralInEModeChanged(address,uint8,bool)"
LTV_ZERO = "AssetLtvzeroInEModeChanged(address,uint8,bool)"
MODE = "UserEModeSet(address,uint8)"
LIQUIDATION = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
WEEK_BLOCKS = 50_400
amounts = st.integers(min_value=1, max_value=10**30)
indexes = st.integers(min_value=RAY, max_value=5 * RAY)


def _opened(price: int, *, ether: int = 1, debt: int = 1_500) -> Chain:
    """Return a market in which Alice owes whole USDC against whole WETH that have fallen to a whole price."""
    chain = opened(debt=debt * 10**6, revision=REVISION)
    chain.prices[WETH] = price * 10**8
    more = supplied(ALICE, WETH, (ether - 1) * 10**18) if ether > 1 else []
    chain.block(*more)
    return chain


def _preview(chain: Chain, cover: int = UINT256_MAX) -> Preview:
    return chain.ledger.preview(ALICE, USDC, WETH, TokenAmount(cover))


@given(scaled=amounts, minted=amounts, before=indexes, growth=st.integers(0, RAY))
def test_a_supply_is_recovered_from_what_its_mint_prints(scaled: int, minted: int, before: int, growth: int) -> None:
    """The event prints differences of rounded balances, and one scaled balance alone fits them."""
    index = before + growth
    previous = ray_mul_floor(scaled, before)
    interest = ray_mul_floor(scaled, index) - previous
    value = ray_mul_floor(scaled + minted, index) - previous
    assert RULES_3_6.supplied.after(scaled, value - interest, index) == scaled + minted


@given(scaled=amounts, share=st.fractions(0, 1), before=indexes, growth=st.integers(0, RAY))
def test_a_debt_is_recovered_from_what_its_burn_prints(scaled: int, share: object, before: int, growth: int) -> None:
    """Also when the burn is smaller than the accrual, which is then printed as a mint."""
    index, left = before + growth, int(scaled * share)  # type: ignore[operator]  # a fraction
    printed = ray_mul_ceil(scaled, index) - ray_mul_ceil(left, index)
    assert RULES_3_6.owed.after(scaled, -printed, index) == left


@given(amount=amounts, index=indexes)
def test_a_burn_of_a_whole_balance_leaves_nothing(amount: int, index: int) -> None:
    """The directions of rounding fit each other on both sides."""
    assert ray_div_ceil(ray_mul_floor(amount, index), index) == amount
    assert ray_div_floor(ray_mul_ceil(amount, index), index) == amount


def test_a_small_position_may_be_closed_whole_at_any_health() -> None:
    """Below 2,000 USD on either side there is no close factor."""
    chain = _opened(1_750)
    assert 95 * 10**16 < int(chain.ledger.margin(ALICE).health_wad or 0) < 10**18
    assert (_preview(chain).repaid, _preview(chain).health_after) == (TokenAmount(1_500 * 10**6), None)


def test_of_a_large_position_half_of_all_debt_may_be_repaid() -> None:
    """Above a health of 0.95, with 2,000 USD on both sides."""
    chain = _opened(1_750, ether=10, debt=15_000)
    assert _preview(chain).repaid == TokenAmount(7_500 * 10**6)
    (pair,) = chain.ledger.pairs(ALICE)
    assert pair.cover_max == TokenAmount(7_500 * 10**6)


def test_half_is_of_all_debt_not_of_this_one() -> None:
    """A debt that is less than half of what the account owes may be repaid whole."""
    chain = _opened(1_750, ether=10, debt=6_000)
    chain.block(borrowed(ALICE, WETH, 5_200_000_000_000_000_000))
    assert int(chain.ledger.margin(ALICE).health_wad or 0) > 95 * 10**16
    assert _preview(chain).repaid == TokenAmount(6_000 * 10**6)


def test_dust_must_not_be_left() -> None:
    """A cover that leaves less than 1,000 USD of debt is refused; all of it, or leaving 1,000, is not."""
    chain = _opened(1_750)
    assert _preview(chain, 600 * 10**6).revert == "MustNotLeaveDust"
    large = _opened(1_600, ether=10, debt=15_000)
    assert _preview(large, 14_000 * 10**6).revert is None
    assert _preview(large, 14_000 * 10**6 + 1).revert == "MustNotLeaveDust"


def test_a_pair_promises_no_cover_that_leaves_dust() -> None:
    """When half of all debt would leave 150 USD of this one, the pair offers what leaves 1,000 of it."""
    chain = _opened(1_000, ether=7, debt=3_200)
    chain.block(borrowed(ALICE, WETH, 29 * 10**17))
    pair = next(pair for pair in chain.ledger.pairs(ALICE) if pair.debt_asset == USDC)
    assert _preview(chain).revert == "MustNotLeaveDust"
    assert pair.cover_max == TokenAmount(2_200 * 10**6)
    assert _preview(chain, 2_200 * 10**6).revert is None
    assert _preview(chain, 2_200 * 10**6 + 1).revert == "MustNotLeaveDust"


def test_what_no_collateral_is_left_for_is_written_off() -> None:
    """Seizing the last collateral burns every debt of the account, and no health is left to speak of."""
    chain = _opened(1_000)
    chain.block(borrowed(ALICE, WETH, 10**16))
    told = _preview(chain)
    assert (told.seized, told.debt_left_base, told.health_after) == (TokenAmount(10**18), BaseAmount(0), None)
    assert int(told.repaid) < 1_500 * 10**6


def test_a_reserve_in_its_grace_period_is_not_liquidated() -> None:
    """Until the period is over, or ended by hand, the call is refused and no pair is offered."""
    chain = _opened(1_000)
    until = 12 * (chain.number + 2)
    chain.block(log_of(CONFIGURATOR, GRACE, USDC, until))
    assert (_preview(chain).revert, chain.ledger.pairs(ALICE)) == ("LiquidationGraceSentinelCheckFailed", ())
    assert chain.ledger.preview(ALICE, USDC, WETH, ALL, at_timestamp=until).revert is not None
    assert chain.ledger.preview(ALICE, USDC, WETH, ALL, at_timestamp=until + 1).revert is None
    chain.block(log_of(CONFIGURATOR, GRACE_ENDED, USDC))
    assert _preview(chain).revert is None
    assert len(chain.ledger.pairs(ALICE)) == 1


def test_a_payout_beyond_what_the_pool_counts_fails() -> None:
    """The pool's own count decides, and what is repaid into the same reserve is counted before."""
    chain = _opened(1_000)
    chain.liquidity = 10**17
    chain.block(log_of(POOL_PROXY, RATES, WETH, 0, 0, 0, RAY, RAY))
    assert _preview(chain).revert == "Panic(0x11)"


def test_an_efficiency_mode_lists_its_assets() -> None:
    """Its ratios count for members only, and a member that lends nothing still counts as collateral."""
    chain = opened(revision=REVISION)
    alone = chain.ledger.account_data(ALICE)
    chain.block(log_of(CONFIGURATOR, CATEGORY, 1, 9_000, 9_300, 10_200, BOB, ""), log_of(POOL_PROXY, MODE, ALICE, 1))
    assert chain.ledger.account_data(ALICE) == alone
    chain.block(log_of(CONFIGURATOR, MEMBER, WETH, 1, True))
    assert _ratios(chain) == (9_000, 9_300)
    chain.block(log_of(CONFIGURATOR, LTV_ZERO, WETH, 1, True))
    assert _ratios(chain) == (0, 9_300)
    chain.block(log_of(CONFIGURATOR, LTV_ZERO, WETH, 1, False), log_of(CONFIGURATOR, MEMBER, WETH, 1, False))
    assert chain.ledger.account_data(ALICE) == alone


def _ratios(chain: Chain) -> tuple[object, object]:
    data = chain.ledger.account_data(ALICE)
    return getattr(data, "ltv", None), getattr(data, "current_liquidation_threshold", None)


def test_a_liquidation_paid_in_a_tokens_moves_the_index_without_a_word() -> None:
    """Interest compounds from there: the balance is another one than without that liquidation."""
    figures = []
    for in_a_tokens in (False, True):
        chain = _opened(2_000)
        chain.block(log_of(POOL_PROXY, RATES, WETH, RAY, 0, RAY, RAY, RAY))
        chain.number += WEEK_BLOCKS
        chain.block(log_of(POOL_PROXY, LIQUIDATION, WETH, USDC, BOB, 1, 1, BOB, in_a_tokens))
        chain.number += WEEK_BLOCKS
        figures.append(chain.block().account_data(ALICE))
    assert figures[0] != figures[1]


def test_collateral_that_was_switched_off_cannot_be_liquidated() -> None:
    """By the contract's own name for it."""
    chain = _opened(1_000)
    chain.block(*supplied(ALICE, USDC, 100 * 10**6), log_of(POOL_PROXY, DISABLED, WETH, ALICE))
    assert _preview(chain).revert == "CollateralCannotBeLiquidated"


def test_a_transfer_moves_scaled_amounts_by_either_rules() -> None:
    """What BalanceTransfer prints is scaled already."""
    chain = _opened(2_000)
    chain.block(log_of(A_TOKEN[WETH], TRANSFER, ALICE, BOB, 10**17, RAY))
    assert chain.ledger.margin(ALICE).collateral_base == BaseAmount(1_800 * 10**8)
