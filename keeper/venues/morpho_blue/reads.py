"""What events cannot tell, asked by view calls at the end of a block and folded from their answers.

The oracle's price is asked at every block: no event tells when it moves. So is the interest-rate model, while there is
one, by the call that fits it:

* the adaptive curve answers ``rateAtTarget(id)``, from which the rate of an accrual at any later time is worked out
  (:mod:`keeper.venues.morpho_blue.rate`);
* any other model is asked ``borrowRateView(params, market)``, and is taken to charge that rate at the next accrual
  whenever it comes. Whether it does is checked at each accrual, which prints the rate it charged.

Until it is known which it is, both are asked. The second call carries the market's totals, so an answer counts only
for these totals: a ledger that lagged behind the block it was asked about has asked about totals that were no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.core.facts import ContractRead, ReadRequest
from keeper.core.ids import ZERO_ADDRESS, Hash32, to_hex
from keeper.core.units import BigInt
from keeper.venues.abi import WORD, address_word, selector_of, word
from keeper.venues.morpho_blue.events import Change, MarketCreated
from keeper.venues.morpho_blue.fold import totals_after
from keeper.venues.morpho_blue.state import ONLY_ROW, DecimalsRow, Params, PriceRow, RateRow, State, Totals

PRICE = selector_of("price()")
DECIMALS = selector_of("decimals()")
RATE_AT_TARGET = selector_of("rateAtTarget(bytes32)")
BORROW_RATE_VIEW = selector_of(
    "borrowRateView((address,address,address,address,uint256),(uint128,uint128,uint128,uint128,uint128,uint128))"
)
DECIMALS_MAX = 255
LAST_UPDATE_AT = 4 + WORD * 9
"""Where the time of the last accrual stands in a call of ``borrowRateView``."""


def requests(state: State, market: Hash32, changes: Sequence[Change]) -> tuple[ReadRequest, ...]:
    """Return the calls needed at the end of a block that makes these changes to (or after) this state."""
    params, totals = state.params.get(ONLY_ROW), state.market
    for change in changes:
        totals = totals_after(totals, change)
        if isinstance(change, MarketCreated):
            tokens = (change.loan_token, change.collateral_token)
            params = Params(*tokens, change.oracle, change.irm, BigInt(change.lltv))
    if params is None:
        return ()
    needed = [ReadRequest(params.oracle, PRICE)]
    if state.decimals.get(ONLY_ROW) is None:
        needed.append(ReadRequest(params.loan_token, DECIMALS))
    if params.irm != ZERO_ADDRESS:
        row = state.rate.get(ONLY_ROW)
        if row is None or row.adaptive:
            needed.append(ReadRequest(params.irm, RATE_AT_TARGET + market))
        if row is None or not row.adaptive:
            needed.append(ReadRequest(params.irm, borrow_rate_call(params, totals)))
    return tuple(needed)


def params_words(params: Params) -> bytes:
    """Return the market's parameters as an argument."""
    addresses = (params.loan_token, params.collateral_token, params.oracle, params.irm)
    return b"".join(map(address_word, addresses)) + word(params.lltv)


def borrow_rate_call(params: Params, totals: Totals) -> bytes:
    """Return the call that asks a model for the rate on these totals."""
    figures = (totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares)
    return BORROW_RATE_VIEW + params_words(params) + b"".join(map(word, (*figures, totals.last_update, totals.fee)))


def fold_reads(state: State, market: Hash32, reads: Sequence[ContractRead]) -> None:
    """Fold the answers that are about this market; the others are ignored."""
    params = state.params.get(ONLY_ROW)
    if params is None:
        return
    for read in reads:
        if read.target == params.oracle and read.calldata == PRICE:
            value, reason = figure(read)
            state.price.set(ONLY_ROW, PriceRow(value, state.now.number, reason))
        if read.target == params.loan_token and read.calldata == DECIMALS:
            value, _ = figure(read)
            if value is not None and value <= DECIMALS_MAX:
                state.decimals.set(ONLY_ROW, DecimalsRow(int(value)))
    rate = _rate(state, market, params, [read for read in reads if read.target == params.irm])
    if rate is not None:
        state.rate.set(ONLY_ROW, rate)


def _rate(state: State, market: Hash32, params: Params, reads: Sequence[ContractRead]) -> RateRow | None:
    """Return what the model answered, ``None`` when it was not asked, or about other totals."""
    before = state.rate.get(ONLY_ROW)
    at_target = next((read for read in reads if read.calldata == RATE_AT_TARGET + market), None)
    if at_target is not None and (at_target.output is not None or (before is not None and before.adaptive)):
        value, reason = figure(at_target)
        return RateRow(value, state.now.number, adaptive=True, reason=reason)
    wanted = _without_time(borrow_rate_call(params, state.market))
    of_totals = next((read for read in reads if _without_time(read.calldata) == wanted), None)
    if of_totals is None or (before is not None and before.adaptive):
        return None
    value, reason = figure(of_totals)
    return RateRow(value, state.now.number, adaptive=False, reason=reason)


def _without_time(calldata: bytes) -> bytes:
    return calldata[:LAST_UPDATE_AT] + calldata[LAST_UPDATE_AT + WORD :]


def figure(read: ContractRead) -> tuple[BigInt | None, str]:
    """Return the one word that a view answered, or why there is none."""
    output = read.output
    if output is None or len(output) != WORD:
        return None, f"{to_hex(read.target)} answers {read.error or 'nothing readable'}"
    return BigInt(int.from_bytes(output, "big")), ""
