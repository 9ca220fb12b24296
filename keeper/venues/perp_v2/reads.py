"""What events cannot tell, asked by view calls at the end of a block and folded from their answers.

Once: the configuration (its first values and the margin ratios have no event), a new pool's price and tick, the
decimals of a collateral, the terms on which collateral is sold. At every block: each market's index price over the
intervals that are averaged, its mark price, each collateral's price, what the insurance fund holds, and of everyone who
provides liquidity value, requirement, and what may be sold of its collateral: a maker's fees and funding are kept per
tick and are in no event.

The mark price follows from the rest. It is asked because the contract's own view reverts where an average reaches
further back than a pool or a feed remembers, and what the contract cannot value is not known to us either.

Answers are matched by contract and calldata, never by position: the ledger that asked may lag behind the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from keeper.core.facts import ContractRead, ReadRequest
from keeper.core.ids import Address
from keeper.core.units import BigInt
from keeper.venues.abi import WORD, address_word, selector_of, word
from keeper.venues.perp_v2.averages import begun
from keeper.venues.perp_v2.events import Change, CollateralAdded, Deposited, LiquidityChanged, PoolAdded
from keeper.venues.perp_v2.math import RATIO, TICK_MAX
from keeper.venues.perp_v2.state import (
    ONLY_ROW,
    Config,
    MakerRow,
    Most,
    PerpContracts,
    ReadRow,
    State,
    Terms,
    index_key,
)

COLLATERAL_TWAP_SECONDS = 900
COUNT_LIMIT = 1 << 32


MARK_CONFIG = selector_of("getMarkPriceConfig()")
CONFIG_VIEWS = {
    "im": selector_of("getImRatio()"),
    "mm": selector_of("getMmRatio()"),
    "penalty": selector_of("getLiquidationPenaltyRatio()"),
    "funding_max": selector_of("getMaxFundingRate()"),
    "twap": selector_of("getTwapInterval()"),
}
TERMS_VIEWS = {
    "buffer": selector_of("getMmRatioBuffer()"),
    "debt_ratio": selector_of("getDebtNonSettlementTokenValueRatio()"),
    "sold": selector_of("getLiquidationRatio()"),
    "fee": selector_of("getCLInsuranceFundFeeRatio()"),
    "threshold": selector_of("getDebtThreshold()"),
    "dust": selector_of("getCollateralValueDust()"),
}
TERMS_RATIOS = ("buffer", "debt_ratio", "sold", "fee")
SLOT0 = selector_of("slot0()")
SLOT0_WORDS = 7
INDEX_PRICE = selector_of("getIndexPrice(uint256)")
MARK_PRICE = selector_of("getMarkPrice(address)")
COLLATERAL_PRICE = selector_of("getPrice(address,uint256)")
PRICE_DECIMALS = selector_of("getPriceFeedDecimals(address)")
DECIMALS = selector_of("decimals()")
ACCOUNT_VALUE = selector_of("getAccountValue(address)")
REQUIREMENT = selector_of("getMarginRequirementForLiquidation(address)")
SEIZABLE = selector_of("isLiquidatable(address)")
SETTLEMENT_VALUE = selector_of("getSettlementTokenValue(address)")
MOST = selector_of("getMaxRepaidSettlementAndLiquidatableCollateral(address,address)")
BALANCE_OF = selector_of("balanceOf(address)")


def requests(state: State, contracts: PerpContracts, changes: Sequence[Change]) -> tuple[ReadRequest, ...]:
    """Return the calls needed at the end of a block that makes these changes to (or after) this state."""
    pools = {base: market.pool for base, market in state.listed()}
    pools |= {change.base: change.pool for change in changes if isinstance(change, PoolAdded)}
    tokens = {Address(token) for token in state.collaterals.rows}
    tokens |= {change.token for change in changes if isinstance(change, CollateralAdded)}
    needed = [*_of_config(state, contracts), *_of_collaterals(state, contracts, sorted(tokens))]
    for base, pool in sorted(pools.items()):
        needed += _of_market(state, contracts, base, pool)
    makers = set(state.providers()) | {change.maker for change in changes if isinstance(change, LiquidityChanged)}
    given = {(each.trader, each.token) for each in changes if isinstance(each, Deposited)}
    for maker in sorted(makers):
        needed += _of_maker(contracts, maker)
        if state.pledged(maker) or any((maker, token) in given for token in tokens):
            needed += _of_pledges(contracts, maker, sorted(tokens))
    needed.append(ReadRequest(contracts.settlement, BALANCE_OF + address_word(contracts.insurance_fund)))
    return tuple(needed)


def _of_maker(contracts: PerpContracts, maker: Address) -> tuple[ReadRequest, ReadRequest]:
    word = address_word(maker)
    return (
        ReadRequest(contracts.clearing_house, ACCOUNT_VALUE + word),
        ReadRequest(contracts.account_balance, REQUIREMENT + word),
    )


def _of_pledges(contracts: PerpContracts, maker: Address, tokens: Sequence[Address]) -> list[ReadRequest]:
    """Ask whether a maker's collateral may be sold, and how much of each token that is accepted."""
    word = address_word(maker)
    most = [ReadRequest(contracts.vault, MOST + word + address_word(token)) for token in tokens]
    asked = [ReadRequest(contracts.vault, view + word) for view in (SEIZABLE, SETTLEMENT_VALUE)]
    return [*asked, *most]


def _of_config(state: State, contracts: PerpContracts) -> Iterable[ReadRequest]:
    if state.figures is None:
        yield from (ReadRequest(contracts.config, view) for view in (*CONFIG_VIEWS.values(), MARK_CONFIG))
    if state.sale is None:
        yield from (ReadRequest(contracts.collateral_manager, view) for view in TERMS_VIEWS.values())


def _of_collaterals(state: State, contracts: PerpContracts, tokens: Iterable[Address]) -> Iterable[ReadRequest]:
    for token in tokens:
        row = state.collaterals.get(token)
        if row is None or row.decimals is None or row.price_decimals is None:
            yield ReadRequest(token, DECIMALS)
            yield ReadRequest(contracts.collateral_manager, PRICE_DECIMALS + address_word(token))
        yield ReadRequest(contracts.collateral_manager, _price_call(token))


def _price_call(token: Address) -> bytes:
    return COLLATERAL_PRICE + address_word(token) + word(COLLATERAL_TWAP_SECONDS)


def _of_market(state: State, contracts: PerpContracts, base: Address, pool: Address) -> Iterable[ReadRequest]:
    if base not in state.ticks.rows:
        yield ReadRequest(pool, SLOT0)
    config = state.figures
    for interval in () if config is None else sorted({0, config.premium, config.twap}):
        yield ReadRequest(base, INDEX_PRICE + word(interval))
    yield ReadRequest(contracts.account_balance, MARK_PRICE + address_word(base))


def fold_reads(state: State, contracts: PerpContracts, reads: Sequence[ContractRead]) -> None:
    """Fold the answers that are about this deployment; the others are ignored."""
    answers = {(read.target, read.calldata): read for read in reads}
    _fold_config(state, contracts, answers)
    _fold_terms(state, contracts, answers)
    for base, market in state.listed():
        _fold_pool(state, base, answers.get((market.pool, SLOT0)))
        mark = answers.get((contracts.account_balance, MARK_PRICE + address_word(base)))
        if mark is not None:
            state.marks.set(base, _row(state, mark, "the mark price"))
    for read in reads:
        if read.target in state.markets.rows and read.calldata[:4] == INDEX_PRICE:
            interval = int.from_bytes(read.calldata[4:], "big")
            state.indexes.set(index_key(read.target, interval), _row(state, read, "the index price"))
    _fold_collaterals(state, contracts, answers)
    _fold_makers(state, contracts, answers)
    wallet = answers.get((contracts.settlement, BALANCE_OF + address_word(contracts.insurance_fund)))
    if wallet is not None:
        state.wallet.set(ONLY_ROW, _row(state, wallet, "the insurance fund's balance"))


Answers = dict[tuple[Address, bytes], ContractRead]


def _fold_config(state: State, contracts: PerpContracts, answers: Answers) -> None:
    if state.figures is not None:
        return
    figures = {name: _small(answers.get((contracts.config, view))) for name, view in CONFIG_VIEWS.items()}
    mark = answers.get((contracts.config, MARK_CONFIG))
    words = _words(mark, 2)
    if words is None or any(figure is None for figure in figures.values()) or max(words) >= COUNT_LIMIT:
        return
    if not figures["mm"]:  # deployed, and not initialized yet
        return
    known = {name: figure for name, figure in figures.items() if figure is not None}
    state.config.set(ONLY_ROW, Config(**known, mark_twap=words[0], premium=words[1]))


def _fold_terms(state: State, contracts: PerpContracts, answers: Answers) -> None:
    if state.sale is not None:
        return
    figures = {name: _words(answers.get((contracts.collateral_manager, view)), 1) for name, view in TERMS_VIEWS.items()}
    known = {name: words[0] for name, words in figures.items() if words is not None}
    if len(known) == len(figures) and all(known[name] <= RATIO for name in TERMS_RATIOS):
        buffer, debt_ratio, sold, fee = (known[name] for name in TERMS_RATIOS)
        threshold, dust = BigInt(known["threshold"]), BigInt(known["dust"])
        state.terms.set(ONLY_ROW, Terms(buffer, debt_ratio, sold, fee, threshold, dust))


def _fold_pool(state: State, base: Address, read: ContractRead | None) -> None:
    words = _words(read, SLOT0_WORDS)
    market = state.markets[base]
    if words is None or not words[0] or base in state.ticks.rows or market.doubt:
        return
    tick = words[1] - (1 << 256) if words[1] >> 255 else words[1]
    if abs(tick) <= TICK_MAX:
        state.ticks.set(base, begun(tick))
        state.markets.set(base, replace(market, sqrt_price=BigInt(words[0])))


def _fold_collaterals(state: State, contracts: PerpContracts, answers: Answers) -> None:
    for key in sorted(state.collaterals.rows):
        token = Address(key)
        row = state.collaterals[token]
        decimals = _small(answers.get((token, DECIMALS)))
        digits = _small(answers.get((contracts.collateral_manager, PRICE_DECIMALS + address_word(token))))
        if decimals is not None and digits is not None and max(decimals, digits) < WORD:
            state.collaterals.set(token, replace(row, decimals=decimals, price_decimals=digits))
        price = answers.get((contracts.collateral_manager, _price_call(token)))
        if price is not None:
            state.prices.set(token, _row(state, price, "the collateral's price"))


def _fold_makers(state: State, contracts: PerpContracts, answers: Answers) -> None:
    makers = state.providers()
    for gone in sorted(set(state.makers.rows) - set(makers)):
        state.makers.set(gone, None)
    for maker in makers:
        asked = [answers.get((each.target, each.calldata)) for each in _of_maker(contracts, maker)]
        if None not in asked:
            value, requirement = (_signed(each) for each in asked)
            row = MakerRow(value, requirement, state.now.number)
            state.makers.set(maker, _with_pledges(state, contracts, answers, maker, row))


def _with_pledges(state: State, contracts: PerpContracts, answers: Answers, maker: Address, row: MakerRow) -> MakerRow:
    if not state.pledged(maker):
        return row
    tokens = [Address(token) for token in sorted(state.collaterals.rows)]
    asked = [answers.get((each.target, each.calldata)) for each in _of_pledges(contracts, maker, tokens)]
    verdict, settlement, *most = asked
    words = _words(verdict, 1)
    seizable = None if words is None else bool(words[0])
    each = tuple(zip(tokens, map(_most, most), strict=True))
    return replace(row, seizable=seizable, settlement=_signed(settlement), most=each)


def _most(read: ContractRead | None) -> Most | None:
    words = _words(read, 2)
    return None if words is None else Most(BigInt(words[0]), BigInt(words[1]))


def _signed(read: ContractRead | None) -> BigInt | None:
    words = _words(read, 1)
    return None if words is None else BigInt(words[0] - (words[0] >> 255 << 256))


def _row(state: State, read: ContractRead, thing: str) -> ReadRow:
    words = _words(read, 1)
    if words is None:
        return ReadRow(None, state.now.number, f"{thing} answers {read.error or 'nothing readable'}")
    return ReadRow(BigInt(words[0]), state.now.number)


def _words(read: ContractRead | None, count: int) -> list[int] | None:
    """Return the words that a view answered, ``None`` when it reverted, answered something else or was not asked."""
    output = None if read is None else read.output
    if output is None or len(output) != WORD * count:
        return None
    return [int.from_bytes(output[at : at + WORD], "big") for at in range(0, len(output), WORD)]


def _small(read: ContractRead | None) -> int | None:
    words = _words(read, 1)
    return words[0] if words is not None and words[0] < COUNT_LIMIT else None
