"""Collateral of Perpetual Protocol v2 that is sold for debt: the arithmetic, and what a ledger makes of the events."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keeper.core.facts import ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address, Hash32
from keeper.core.units import BigInt, TokenAmount
from keeper.core.venue import LiquidationSeen, Status
from keeper.venues.abi import topic_of
from keeper.venues.perp_v2 import collateral as rules
from keeper.venues.perp_v2 import reads
from keeper.venues.perp_v2.breakdown import sale_buckets
from keeper.venues.perp_v2.collateral import Sale
from keeper.venues.perp_v2.ledger import PerpLedger, contracts_of
from keeper.venues.perp_v2.liquidation import Refused
from keeper.venues.perp_v2.margin import Figures
from keeper.venues.perp_v2.market import CollateralNow, Now, Unknown
from keeper.venues.perp_v2.math import RATIO
from keeper.venues.perp_v2.state import Config, Most, Terms
from tests.venues.event_logs import address, header, types_of
from tests.venues.test_perp_ledger import SPEC

CONTRACTS = contracts_of(SPEC)
TRADER, OTHER, TOKEN, FEED, STRANGER = (address(number) for number in (1, 2, 3, 4, 5))
USD, WAD, DECIMALS = 10**6, 10**18, 6
CONFIG = Config(im=100_000, mm=62_500, penalty=25_000, funding_max=100_000, twap=900, mark_twap=1_800, premium=900)
TERMS = Terms(2_000, 750_000, 500_000, 30_000, BigInt(10_000 * USD), BigInt(500 * USD))
NOW = Now(CONFIG, TERMS, {}, {}, 0)
THRESHOLD = 10_000 * USD


def _figures(*, settlement: int, pledged: int, abs_value: int = 0, initial: int = 0) -> Figures:
    return Figures(0, 0, 0, abs_value, settlement, pledged, initial)


collaterals = st.builds(
    CollateralNow,
    st.just(700_000),
    st.integers(0, RATIO - 1),
    st.integers(0, 24),
    st.integers(10**6, 10**14),
    st.integers(0, 12),
)
terms = st.builds(
    Terms,
    st.just(0),
    st.just(0),
    st.integers(0, RATIO),
    st.integers(0, RATIO - 1),
    st.just(BigInt(0)),
    st.integers(0, 10**10).map(BigInt),
)
debts = st.builds(
    lambda debt, initial: _figures(settlement=-debt, pledged=0, initial=initial),
    st.integers(-(10**24), 10**24),
    st.integers(0, 10**24),
)


@given(terms, collaterals, debts, st.integers(0, 10**24))
def test_the_most_is_never_more_than_is_held_and_never_dearer_than_its_discounted_price(
    agreed: Terms, collateral: CollateralNow, figures: Figures, held: int
) -> None:
    """The whole that is held costs its discounted price rounded down; less than that covers the part that is sold."""
    most = rules.most_of(agreed, collateral, figures, held, DECIMALS)
    price = Fraction(rules.discounted(collateral).price, 10**collateral.price_decimals)
    value = Fraction(most.collateral, 10**collateral.decimals) * price * USD
    owed = max(-figures.settlement_value, figures.initial, 0)
    part = owed * agreed.sold // RATIO if owed > agreed.dust * 10**12 else owed
    whole = Fraction(part * RATIO // (RATIO - agreed.fee), 10**12)
    assert most.collateral <= held
    assert most.repaid <= whole
    if most.collateral < held:
        assert most.repaid == int(whole)
        assert abs(value - whole) <= price * USD * (Fraction(1, 10**collateral.decimals) + Fraction(1, 10**18))
    else:
        assert value - most.repaid < 1 + Fraction(USD, 10**18)


@given(terms, collaterals, debts, st.integers(0, 10**24), st.integers(0, 10**24), st.sampled_from(("V_MSAE", "V_MCAE")))
def test_a_part_never_takes_more_than_the_whole(
    agreed: Terms, collateral: CollateralNow, figures: Figures, amounts: int, held: int, error: str
) -> None:
    """A sale stays within what is held and within the most, in either token, and more than the most is refused."""
    most, in_settlement = rules.most_of(agreed, collateral, figures, held, DECIMALS), error == "V_MSAE"
    limit = int(most.repaid if in_settlement else most.collateral)
    part = rules.sale_of(agreed, collateral, most, amounts % (limit + 1), DECIMALS, in_settlement=in_settlement)
    assert isinstance(part, Sale)
    assert part.collateral <= most.collateral
    assert part.paid <= most.repaid
    assert part.fee == part.paid * agreed.fee // RATIO
    whole = rules.sale_of(agreed, collateral, most, limit, DECIMALS, in_settlement=in_settlement)
    assert (whole.paid, whole.collateral) == (most.repaid, most.collateral) if isinstance(whole, Sale) else False
    more = rules.sale_of(agreed, collateral, most, limit + 1, DECIMALS, in_settlement=in_settlement)
    assert more == Refused(error)


@pytest.mark.parametrize(
    ("shut", "opened"),
    [
        (
            _figures(settlement=645 * WAD, pledged=0, abs_value=10_000 * WAD),
            _figures(settlement=645 * WAD - 1, pledged=0, abs_value=10_000 * WAD),
        ),
        (
            _figures(settlement=-750 * WAD, pledged=1_000 * WAD),
            _figures(settlement=-750 * WAD - 1, pledged=1_000 * WAD),
        ),
        (
            _figures(settlement=-10_001 * WAD + 1 + 999_999 * 10**12, pledged=10**30),
            _figures(settlement=-10_000 * WAD - 10**12, pledged=10**30),
        ),
    ],
    ids=["below the requirement and its buffer", "more than its share of debt", "more than an account may owe"],
)
def test_each_way_opens_at_its_limit_and_not_before(shut: Figures, opened: Figures) -> None:
    """At the limit itself nothing may be sold; one unit further something may."""
    assert not rules.is_open(NOW, TERMS, shut, THRESHOLD, DECIMALS)
    assert rules.is_open(NOW, TERMS, opened, THRESHOLD, DECIMALS)


whole = st.integers(-(10**23), 10**23)


@given(
    st.builds(
        lambda settlement, pledged, abs_value: _figures(settlement=settlement, pledged=pledged, abs_value=abs_value),
        whole,
        st.integers(0, 10**23),
        st.integers(0, 10**23),
    ),
    st.integers(0, 10**11),
)
def test_a_bucket_below_zero_is_what_opens_a_sale(figures: Figures, threshold: int) -> None:
    """The three conditions, shown as margin, decide as the vault does."""
    buckets = sale_buckets(NOW, TERMS, figures, threshold, CONTRACTS)
    assert any(bucket.surplus < 0 for bucket in buckets) is rules.is_open(NOW, TERMS, figures, threshold, DECIMALS)


TOKEN_NOW = CollateralNow(700_000, 0, 0, 3 * 10**8, 8)


@pytest.mark.parametrize(
    ("debt", "held", "expected"),
    [
        (500 * WAD, 10**6, (500 * USD, 166)),
        (500 * WAD + 1, 10**6, (250 * USD, 83)),
        (5 * WAD, 1, (5 * USD, 1)),
        (5 * WAD, 0, (0, 0)),
    ],
    ids=["dust, whole", "more than dust, half", "all that is held, and no more", "more than is held"],
)
def test_the_most_at_its_limits(debt: int, held: int, expected: tuple[int, int]) -> None:
    """A debt of just the dust is repaid whole, and what is held is the limit only where the debt buys more."""
    free = replace(TERMS, fee=0)
    most = rules.most_of(free, TOKEN_NOW, _figures(settlement=-debt, pledged=0), held, DECIMALS)
    assert (most.repaid, most.collateral) == expected


INDEXED = {
    "CollateralAdded(address,address,uint24,uint24,uint256)": 1,
    "DiscountRatioChanged(address,uint24)": 1,
    "PriceFeedChanged(address,address)": 1,
    "LiquidationRatioChanged(uint24)": 0,
    "WhitelistedDebtThresholdChanged(address,uint256)": 0,
    "Paused(address)": 0,
    "Unpaused(address)": 0,
    "Deposited(address,address,uint256)": 2,
    "PnlRealized(address,int256)": 1,
    "CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)": 3,
}
SOLD = "CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)"
_HASH = Hash32(b"\x33" * 32)


def _log(source: Address, signature: str, *values: object) -> RawLog:
    types, indexed = types_of(signature), INDEXED[signature]
    topics = [encode([kind], [value]) for kind, value in zip(types[:indexed], values, strict=False)]
    return RawLog(source, (topic_of(signature), *topics), encode(types[indexed:], values[indexed:]), 7, _HASH)


def _word(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


ANSWERS: dict[bytes, bytes] = {
    **{view: _word(getattr(CONFIG, name)) for name, view in reads.CONFIG_VIEWS.items()},
    **{view: _word(int(getattr(TERMS, name))) for name, view in reads.TERMS_VIEWS.items()},
    reads.MARK_CONFIG: _word(CONFIG.mark_twap, CONFIG.premium),
    reads.DECIMALS: _word(18),
    reads.PRICE_DECIMALS: _word(8),
    reads.COLLATERAL_PRICE: _word(2_000 * 10**8),
    reads.BALANCE_OF: _word(0),
}


def _answer(request: ReadRequest) -> ContractRead:
    return ContractRead(request.target, request.calldata, ANSWERS.get(request.calldata[:4]), None)


def _block(ledger: PerpLedger, number: int, *logs: RawLog) -> list[LiquidationSeen]:
    ledger.begin_block(header(number, 1_000 + number))
    wanted = ledger.reads(logs)
    found = [ledger.apply_log(log) for log in logs]
    ledger.apply_reads([_answer(each) for each in wanted])
    return [each for each in found if isinstance(each, LiquidationSeen)]


def _indebted(trader: Address = TRADER, tokens: int = WAD) -> PerpLedger:
    """Return a ledger in which somebody owes 1,500 against so much of a token at 2,000, which counts for 70 %."""
    ledger = PerpLedger(SPEC)
    _block(
        ledger,
        1,
        _log(
            CONTRACTS.collateral_manager,
            "CollateralAdded(address,address,uint24,uint24,uint256)",
            *(TOKEN, FEED, 700_000, 100_000, 2**255),
        ),
        _log(CONTRACTS.vault, "Deposited(address,address,uint256)", TOKEN, trader, tokens),
        _log(CONTRACTS.account_balance, "PnlRealized(address,int256)", trader, -1_500 * WAD),
    )
    return ledger


def test_a_debtor_without_a_position_is_liquidatable_and_its_collateral_has_a_price() -> None:
    """Half the debt and the fund's share of it buy the token at a tenth less; what is left is still owed."""
    ledger = _indebted()
    margin = ledger.margin(TRADER)
    assert (ledger.accounts(), margin.health.status, margin.health_wad) == ((TRADER,), Status.LIQUIDATABLE, None)
    (pair,) = ledger.pairs(TRADER)
    assert (pair.debt_asset, pair.collateral_asset) == (*ledger.tokens(), TOKEN)
    assert (pair.cover_max, pair.bonus, pair.liquidation_threshold) == (773_195_876, 11_111, 7_000)
    assert (pair.debt_base, pair.collateral_base) == (1_500 * 10**8, 2_000 * 10**8)
    most = ledger.sales.most(TRADER, TOKEN)
    assert most == Most(BigInt(773_195_876), BigInt(429_553_264_604_810_997))
    found = ledger.preview(TRADER, CONTRACTS.settlement, TOKEN, TokenAmount(100 * USD))
    assert (found.revert, found.repaid, found.seized) == (None, 100 * USD, 55_555_555_555_555_556)
    assert (found.repaid_base, found.seized_base) == (100 * 10**8, 11_111_111_111)
    assert (found.debt_left_base, found.health_after) == (1_403 * 10**8, None)
    assert ledger.spender == CONTRACTS.vault


def test_the_last_collateral_leaves_no_debt() -> None:
    """When all is sold and there is no position, the insurance fund takes over what is left."""
    ledger = _indebted(tokens=WAD // 10)
    assert ledger.preview(TRADER, CONTRACTS.settlement, TOKEN, TokenAmount(180 * USD)).debt_left_base == 0
    part = ledger.preview(TRADER, CONTRACTS.settlement, TOKEN, TokenAmount(179 * USD))
    assert part.debt_left_base == 1_326_370_000 * 100


def test_the_insurance_funds_own_collateral_cannot_be_sold() -> None:
    """The vault reverts at the end of such a sale, so it is not offered."""
    ledger = _indebted(CONTRACTS.insurance_fund)
    told = ledger.sales.foretell(CONTRACTS.insurance_fund, TOKEN, 1, in_settlement=True)
    assert (told, ledger.pairs(CONTRACTS.insurance_fund)) == (Refused("V_CSI"), ())


def test_a_paused_vault_sells_nothing_until_it_goes_on() -> None:
    """Only the vault's own pause counts, and while it lasts nothing is offered."""
    ledger = _indebted()
    _block(ledger, 2, _log(STRANGER, "Paused(address)", STRANGER))
    assert ledger.pairs(TRADER)
    _block(ledger, 3, _log(CONTRACTS.vault, "Paused(address)", STRANGER))
    assert ledger.pairs(TRADER) == ()
    refused = ledger.preview(TRADER, CONTRACTS.settlement, TOKEN, TokenAmount(1))
    assert refused.revert == "Pausable: paused"
    _block(ledger, 4, _log(CONTRACTS.vault, "Unpaused(address)", STRANGER))
    assert ledger.pairs(TRADER)


def _discount(ledger: PerpLedger) -> int:
    most = ledger.sales.most(TRADER, TOKEN)
    return int(most.collateral) if isinstance(most, Most) else 0


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (_log(CONTRACTS.collateral_manager, "LiquidationRatioChanged(uint24)", 250_000), 214_776_632_302_405_499),
        (_log(CONTRACTS.collateral_manager, "DiscountRatioChanged(address,uint24)", TOKEN, 0), 386_597_938_144_329_897),
        (_log(STRANGER, "LiquidationRatioChanged(uint24)", 250_000), 429_553_264_604_810_997),
    ],
    ids=["half of the part", "no discount", "of another contract"],
)
def test_terms_change_what_may_be_sold(log: RawLog, expected: int) -> None:
    """Terms are those of the collateral manager alone, and hold from their event on."""
    ledger = _indebted()
    _block(ledger, 2, log)
    assert _discount(ledger) == expected


def test_a_whole_discount_or_a_whole_fee_makes_the_contract_divide_by_nothing() -> None:
    """Such a token is not offered, and a sale of it is foretold to revert bare."""
    ledger = _indebted()
    _block(ledger, 2, _log(CONTRACTS.collateral_manager, "DiscountRatioChanged(address,uint24)", TOKEN, RATIO))
    assert ledger.pairs(TRADER) == ()
    assert ledger.sales.foretell(TRADER, TOKEN, 0, in_settlement=False) == Refused("0x")


def test_a_debt_threshold_of_its_own_opens_an_account_and_zero_takes_it_back() -> None:
    """An account is held to its own measure while it has one, and to everyone's otherwise."""
    ledger = _indebted(tokens=2 * WAD)
    assert ledger.margin(TRADER).health.status is Status.HEALTHY
    for number, (amount, status) in enumerate(((1_499 * USD, Status.LIQUIDATABLE), (0, Status.HEALTHY)), 2):
        given_own = "WhitelistedDebtThresholdChanged(address,uint256)"
        _block(ledger, number, _log(CONTRACTS.collateral_manager, given_own, TRADER, amount))
        assert ledger.margin(TRADER).health.status is status


def test_another_feeds_decimals_are_read_again() -> None:
    """Until they are, the collateral has no price and its owner no margin."""
    ledger = _indebted()
    logs = [_log(CONTRACTS.collateral_manager, "PriceFeedChanged(address,address)", TOKEN, FEED)]
    ledger.begin_block(header(2, 1_002))
    ledger.apply_log(logs[0])
    assert ledger.margin(TRADER).health.status is Status.UNKNOWN
    ledger.apply_reads([_answer(each) for each in ledger.reads(logs)])
    assert ledger.margin(TRADER).health.status is Status.LIQUIDATABLE


def test_a_sale_that_went_by_is_told_with_all_that_the_liquidator_paid() -> None:
    """The fee is part of what was repaid; the event of another contract is nothing."""
    ledger = _indebted()
    values = (TRADER, TOKEN, OTHER, 5 * 10**16, 87 * USD, 3 * USD, 100_000)
    (seen,) = _block(ledger, 2, _log(CONTRACTS.vault, SOLD, *values), _log(STRANGER, SOLD, *values))
    assert (seen.account, seen.liquidator, seen.debt_asset) == (TRADER, OTHER, CONTRACTS.settlement)
    assert (seen.repaid, seen.seized, seen.tx_hash) == (90 * USD, 5 * 10**16, _HASH)


Asked = Callable[[PerpLedger], str | None]
asked: dict[str, Asked] = {
    "V_NL": lambda ledger: ledger.preview(OTHER, CONTRACTS.settlement, TOKEN, TokenAmount(1)).revert,
    "V_TINAC": lambda ledger: ledger.preview(TRADER, CONTRACTS.settlement, FEED, TokenAmount(1)).revert,
    "V_MSAE": lambda ledger: ledger.preview(TRADER, CONTRACTS.settlement, TOKEN, TokenAmount(773_195_877)).revert,
    "unknown: nothing but the settlement token is repaid": lambda ledger: (
        ledger.preview(TRADER, TOKEN, TOKEN, TokenAmount(1)).revert
    ),
}


@pytest.mark.parametrize("reason", list(asked))
def test_a_refused_preview_names_the_contracts_error(reason: str) -> None:
    """What the vault would revert with is said, and what is no sale at all is called unknown."""
    assert asked[reason](_indebted()) == reason


def test_a_price_that_is_missing_is_unknown_and_never_for_sale() -> None:
    """A block without the collateral's price leaves the owner's standing unknown, not healthy."""
    ledger = _indebted()
    ledger.begin_block(header(2, 1_002))
    assert isinstance(ledger.sales.is_open(TRADER), Unknown)
    assert (ledger.pairs(TRADER), ledger.margin(TRADER).health.status) == ((), Status.UNKNOWN)
    assert ledger.value_base(TOKEN, TokenAmount(1)) is None
    assert ledger.value_base(CONTRACTS.settlement, TokenAmount(USD)) == 10**8
