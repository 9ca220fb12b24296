"""A preview repeats the contract's steps; where it would refuse, so does the preview, by the same name."""

from __future__ import annotations

from keeper.core.facts import ContractRead
from keeper.core.ids import ZERO_ADDRESS
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wad
from keeper.core.venue import Pair, Preview
from keeper.venues.aave_v3 import reads
from keeper.venues.aave_v3.math import RAY
from tests.venues.event_logs import address, header, log_of
from tests.venues.synthetic import (
    A_TOKEN,
    ALICE,
    BOB,
    CONFIGURATOR,
    DISABLED,
    POOL_PROXY,
    RATES,
    ROOT,
    SENTINEL,
    STABLE,
    STABLE_MINT,
    USDC,
    WETH,
    Chain,
    borrowed,
    opened,
    supplied,
)

ALL = TokenAmount(UINT256_MAX)
FEE_SET = "LiquidationProtocolFeeChanged(address,uint256,uint256)"


def _breached(price: int = 1_700 * 10**8, *, debt: int = 1_500 * 10**6) -> Chain:
    """Return a market in which Alice's one WETH has fallen: health 0.963 at 1700."""
    chain = opened(debt=debt)
    chain.prices[WETH] = price
    chain.block()
    return chain


def _preview(chain: Chain, cover: TokenAmount = ALL) -> Preview:
    return chain.ledger.preview(ALICE, USDC, WETH, cover)


def test_a_small_breach_lets_half_the_debt_be_repaid() -> None:
    """750 USDC buy 750 * 1.05 / 1700 WETH; half the debt remains and the figure is exact."""
    seized = 463_235_294_117_647_059
    preview = _preview(_breached())
    assert preview == Preview(
        USDC,
        WETH,
        ALL,
        TokenAmount(750 * 10**6),
        TokenAmount(seized),
        TokenAmount(0),
        BaseAmount(750 * 10**8),
        BaseAmount(seized * 1_700 * 10**8 // 10**18),
        BaseAmount(750 * 10**8),
        Wad(1_034_166_666_653_333_333),
        None,
    )


def test_a_deep_breach_lets_all_of_it_be_repaid() -> None:
    """At or below 0.95 the close factor is whole, and then no debt is left."""
    preview = _preview(_breached(1_600 * 10**8))
    assert (preview.repaid, preview.health_after) == (TokenAmount(1_500 * 10**6), None)


def test_at_the_line_itself_all_of_it_may_be_repaid() -> None:
    """A health of exactly 0.95 has the whole close factor; a hair above it has half."""
    line = opened(debt=850 * 10**6)
    line.prices[WETH] = 950 * 10**8
    line.block()
    assert line.ledger.margin(ALICE).health_wad == Wad(95 * 10**16)
    assert _preview(line).repaid == TokenAmount(850 * 10**6)
    line.prices[WETH] = 951 * 10**8
    line.block()
    assert _preview(line).repaid == TokenAmount(425 * 10**6)


def test_too_little_collateral_shrinks_what_is_repaid() -> None:
    """The second branch: all collateral goes, and only its worth less the bonus is repaid."""
    preview = _preview(_breached(1_050 * 10**8))
    assert (preview.seized, preview.repaid) == (TokenAmount(10**18), TokenAmount(1_000 * 10**6))
    assert preview.health_after == Wad(0)


def test_the_protocol_takes_its_share_of_the_bonus() -> None:
    """A tenth of the bonus goes to the treasury and not to the liquidator."""
    chain = _breached()
    whole = _preview(chain).seized
    chain.block(log_of(CONFIGURATOR, FEE_SET, WETH, 0, 1_000))
    shared = _preview(chain)
    assert shared.seized + shared.protocol_fee == whole
    assert int(shared.protocol_fee) == 2_205_882_352_941_177


def test_a_healthy_account_cannot_be_liquidated() -> None:
    """One wei at or above health one is refused, and there is nothing to choose from."""
    chain = opened()
    assert _preview(chain).revert == "HEALTH_FACTOR_NOT_BELOW_THRESHOLD"
    assert chain.ledger.pairs(ALICE) == ()


def test_pairs_say_what_may_be_done() -> None:
    """Debt and collateral, the cover the close factor allows, bonus, threshold and worth."""
    assert _breached().ledger.pairs(ALICE) == (
        Pair(
            USDC,
            WETH,
            TokenAmount(750 * 10**6),
            Bps(10_500),
            Bps(8_500),
            BaseAmount(1_500 * 10**8),
            BaseAmount(1_700 * 10**8),
        ),
    )


def test_a_paused_reserve_cannot_be_liquidated() -> None:
    """Neither as debt nor as collateral."""
    chain = _breached()
    chain.block(log_of(CONFIGURATOR, "ReservePaused(address,bool)", WETH, True))
    assert (_preview(chain).revert, chain.ledger.pairs(ALICE)) == ("RESERVE_PAUSED", ())


def test_an_inactive_reserve_cannot_be_liquidated() -> None:
    """Being inactive is told before being paused."""
    chain = _breached()
    chain.block(
        log_of(CONFIGURATOR, "ReserveActive(address,bool)", WETH, False),
        log_of(CONFIGURATOR, "ReservePaused(address,bool)", WETH, True),
    )
    assert _preview(chain).revert == "RESERVE_INACTIVE"


def test_collateral_that_is_not_enabled_cannot_be_liquidated() -> None:
    """Only what counts as collateral may be seized."""
    chain = _breached()
    chain.block(log_of(POOL_PROXY, DISABLED, WETH, ALICE))
    assert _preview(chain).revert == "COLLATERAL_CANNOT_BE_LIQUIDATED"


def test_a_debt_that_is_not_there_cannot_be_repaid() -> None:
    """Alice owes no WETH."""
    revert = _breached().ledger.preview(ALICE, WETH, WETH, ALL).revert
    assert revert == "SPECIFIED_CURRENCY_NOT_BORROWED_BY_USER"


def test_an_unlisted_asset_gives_a_bare_revert() -> None:
    """The contract calls a token at the zero address."""
    assert _breached().ledger.preview(ALICE, address(9), WETH, ALL).revert == "0x"


def test_a_cover_that_rounds_to_nothing_is_refused() -> None:
    """Burning zero scaled tokens is an error of the token."""
    assert _preview(_breached(), TokenAmount(0)).revert == "INVALID_BURN_AMOUNT"


def test_lent_out_collateral_cannot_be_paid_out() -> None:
    """With fewer tokens in the reserve than are seized the subtraction panics."""
    chain = _breached()
    request = next(each for each in chain.ledger.reads([log_of(POOL_PROXY, RATES, WETH, 0, 0, 0, RAY, RAY)]))
    assert request.target == WETH
    chain.ledger.begin_block(header(4, 48))
    chain.ledger.apply_reads([ContractRead(WETH, request.calldata, (5).to_bytes(32, "big"), None), *_prices(chain)])
    assert _preview(chain).revert == "Panic(0x11)"


def _prices(chain: Chain) -> list[ContractRead]:
    return [chain._answer(each) for each in chain.asked if each.calldata[:4] == reads.ASSET_PRICE]


def test_variable_debt_is_burnt_before_stable() -> None:
    """Covering more than the variable debt takes the rest off the stable one; the whole leaves none."""
    chain = opened(debt=500 * 10**6)
    chain.block(log_of(STABLE[USDC], STABLE_MINT, ALICE, ALICE, 1_000 * 10**6, 0, 0, 0, 0, 0))
    chain.prices[WETH] = 1_600 * 10**8
    chain.block()
    assert _preview(chain).health_after is None
    part = _preview(chain, TokenAmount(600 * 10**6))
    assert (part.repaid, part.debt_left_base) == (TokenAmount(600 * 10**6), BaseAmount(900 * 10**8))


def test_dust_left_by_rounding_no_longer_counts_when_the_balance_was_taken() -> None:
    """Two scaled units at an index of 2.1 are a balance of four; three and a fee of one burn one scaled unit only."""
    chain = opened(debt=1)
    configured = "CollateralConfigurationChanged(address,uint256,uint256,uint256)"
    chain.block(
        log_of(POOL_PROXY, RATES, USDC, 0, 0, 0, 21 * RAY // 10, RAY),
        log_of(CONFIGURATOR, configured, USDC, 5_000, 5_000, 13_400),
        log_of(CONFIGURATOR, FEE_SET, USDC, 0, 10_000),
        log_of(A_TOKEN[USDC], "Mint(address,address,uint256,uint256,uint256)", BOB, BOB, 4, 0, 21 * RAY // 10),
        log_of(POOL_PROXY, "ReserveUsedAsCollateralEnabled(address,address)", USDC, BOB),
        borrowed(BOB, WETH, 10**12),
    )
    preview = chain.ledger.preview(BOB, WETH, USDC, ALL)
    assert (preview.seized, preview.protocol_fee, preview.health_after) == (TokenAmount(3), TokenAmount(1), Wad(0))


def test_debt_and_collateral_may_be_the_same_asset() -> None:
    """Repaying and seizing one reserve leaves the account with less of both."""
    chain = opened(debt=1)
    chain.block(*supplied(ALICE, USDC, 10**9), borrowed(ALICE, USDC, 2_400 * 10**6))
    chain.prices[WETH] = 1_700 * 10**8
    chain.block()
    preview = chain.ledger.preview(ALICE, USDC, USDC, TokenAmount(10**8))
    assert (preview.repaid, preview.seized) == (TokenAmount(10**8), TokenAmount(105 * 10**6))
    assert preview.debt_left_base == BaseAmount(2_300 * 10**8 + 100)


def _guarded(price: int, *, allowed: bool) -> Chain:
    chain = _breached(price)
    chain.allowed = allowed
    chain.block(log_of(ROOT, "PriceOracleSentinelUpdated(address,address)", ZERO_ADDRESS, SENTINEL))
    chain.block()
    return chain


def test_the_sentinel_keeps_accounts_above_its_line() -> None:
    """In the grace period an account at 0.963 is kept, one below 0.95 is not."""
    kept = _guarded(1_700 * 10**8, allowed=False)
    assert (_preview(kept).revert, kept.ledger.pairs(ALICE)) == ("PRICE_ORACLE_SENTINEL_CHECK_FAILED", ())
    assert _preview(_guarded(1_600 * 10**8, allowed=False)).revert is None
    assert _preview(_guarded(1_700 * 10**8, allowed=True)).revert is None


def test_a_sentinel_that_did_not_answer_is_not_a_permission() -> None:
    """Unknown is not yes, and not the contract's no."""
    chain = _guarded(1_700 * 10**8, allowed=True)
    chain.ledger.begin_block(header(9, 108))
    chain.ledger.apply_reads(_prices(chain))
    assert _preview(chain).revert == "unknown: the price-oracle sentinel did not answer at this block"


def test_an_efficiency_mode_has_its_own_ratios_and_bonus() -> None:
    """A member counts at the mode's threshold and is seized with the mode's bonus."""
    chain = opened()
    chain.block(
        log_of(
            CONFIGURATOR,
            "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)",
            *(1, 9_000, 9_500, 10_100, ZERO_ADDRESS, "blue"),
        ),
        log_of(CONFIGURATOR, "EModeAssetCategoryChanged(address,uint8,uint8)", WETH, 0, 1),
        log_of(POOL_PROXY, "UserEModeSet(address,uint8)", ALICE, 1),
    )
    assert chain.ledger.margin(ALICE).health_wad == Wad(1_266_666_666_666_666_667)
    chain.prices[WETH] = 1_550 * 10**8
    chain.block()
    (pair,) = chain.ledger.pairs(ALICE)
    assert (pair.bonus, pair.liquidation_threshold) == (Bps(10_100), Bps(9_500))


def test_a_mode_with_a_price_source_takes_its_price_from_there() -> None:
    """The member counts at the source's price, and so does any debt in the liquidation, but not in the health."""
    source = address(0x99)
    chain = opened()
    chain.prices[source] = 1_000 * 10**8
    chain.block(
        log_of(
            CONFIGURATOR,
            "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)",
            *(1, 9_000, 9_500, 10_100, source, "blue"),
        ),
        log_of(CONFIGURATOR, "EModeAssetCategoryChanged(address,uint8,uint8)", WETH, 0, 1),
        log_of(POOL_PROXY, "UserEModeSet(address,uint8)", ALICE, 1),
    )
    margin = chain.ledger.margin(ALICE)
    assert (margin.collateral_base, margin.debt_base) == (BaseAmount(1_000 * 10**8), BaseAmount(1_500 * 10**8))
    tiny = _preview(chain, TokenAmount(10**5))
    assert tiny.seized == TokenAmount(101 * 10**15)
    chain.prices[source] = None
    chain.block()
    assert "its price is unknown" in str(chain.ledger.margin(ALICE).health.reason)


def test_a_preview_changes_nothing() -> None:
    """Looking is free: the dump is the same after any number of previews."""
    chain = _breached()
    before = chain.ledger.dump()
    first = _preview(chain)
    assert _preview(chain) == first
    assert chain.ledger.dump() == before


def test_a_token_balance_alone_is_no_position() -> None:
    """Bob holds aTokens that are not collateral: no account with debt, nothing to seize."""
    chain = _breached()
    chain.block(log_of(A_TOKEN[WETH], "BalanceTransfer(address,address,uint256,uint256)", ALICE, BOB, 1, RAY))
    assert chain.ledger.preview(BOB, USDC, WETH, ALL).revert == "HEALTH_FACTOR_NOT_BELOW_THRESHOLD"
