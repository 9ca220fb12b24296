"""What ``liquidate`` would do, to the last unit (Morpho.liquidate), and which of its two forms to ask for.

The call names either the collateral to seize or the debt shares to repay. By shares is the rule: what is repaid then
moves with the interest alone, whatever the price does until the transaction is mined. But shares that are worth more
than the collateral panic (all the shares of an account under water always do), so such a slice is asked for by the
collateral, all of it. That takes no more than those shares would have cost, and what debt is left without collateral
is written off in the same call.

A cover is a ceiling in loan tokens, and holds for :data:`CEILING_SECONDS`: the shares are counted at what they will
cost then, so that interest does not carry a slice past what the signer has. What is foretold is the price of now.

What is left to the preflight: the liquidator's own balance and allowance, and tokens that refuse a transfer.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount, Wad
from keeper.core.venue import Pair, Preview
from keeper.venues.morpho_blue.market import Market, Position, Unknown, figures
from keeper.venues.morpho_blue.math import (
    ORACLE_PRICE_SCALE,
    UINT128_MAX,
    WAD,
    mul_div_down,
    mul_div_up,
    to_assets_down,
    to_assets_up,
    to_shares_down,
    to_shares_up,
)
from keeper.venues.morpho_blue.state import Totals

CEILING_SECONDS = 600
UNDERFLOW = "Panic(0x11)"
MARKET_NOT_CREATED = "market not created"
INCONSISTENT_INPUT = "inconsistent input"
HEALTHY_POSITION = "position is healthy"
MAX_UINT128_EXCEEDED = "max uint128 exceeded"
WAD_PER_BPS = WAD // Bps.ONE


class Form(msgspec.Struct, frozen=True, gc=False):
    """The two amounts of a call, of which one is zero: collateral to seize, debt shares to repay."""

    seized: int
    repaid_shares: int


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """A liquidation: the amounts of its event, and what it leaves."""

    repaid: int
    repaid_shares: int
    seized: int
    bad_debt: int
    bad_debt_shares: int
    totals: Totals
    position: Position


def liquidate(market: Market, position: Position, form: Form) -> Outcome | str:
    """Return what the call does at the market's timestamp, or the error that it gives."""
    if market.params is None:
        return MARKET_NOT_CREATED
    if (form.seized == 0) == (form.repaid_shares == 0):
        return INCONSISTENT_INPUT
    if market.doubt is not None:
        return f"unknown: {market.doubt.reason}"
    try:
        found = figures(market, position)
        if isinstance(found, Unknown):
            return UNDERFLOW
        return HEALTHY_POSITION if found.debt_max >= found.debt else _executed(market, position, form)
    except OverflowError:
        return UNDERFLOW


def _executed(market: Market, position: Position, form: Form) -> Outcome | str:
    totals = market.totals
    borrowed = (int(totals.borrow_assets), int(totals.borrow_shares))
    if form.seized:
        quoted = mul_div_up(form.seized, market.price, ORACLE_PRICE_SCALE)
        seized, shares = form.seized, to_shares_up(mul_div_up(quoted, WAD, market.bonus), *borrowed)
    else:
        seized, shares = _seized_by(market, form.repaid_shares), form.repaid_shares
    repaid = to_assets_up(shares, *borrowed)
    for wanted, held in ((shares, position.borrow_shares), (seized, position.collateral)):
        if wanted > UINT128_MAX:
            return MAX_UINT128_EXCEEDED
        if wanted > held:
            return UNDERFLOW
    left = Position(position.supply_shares, position.borrow_shares - shares, position.collateral - seized)
    assets, all_shares = max(borrowed[0] - repaid, 0), borrowed[1] - shares
    bad_debt = bad_shares = 0
    if not left.collateral:
        bad_shares = left.borrow_shares
        bad_debt = min(assets, to_assets_up(bad_shares, assets, all_shares))
        left = replace(left, borrow_shares=0)
    if bad_debt > totals.supply_assets:
        return UNDERFLOW
    after = replace(
        totals,
        supply_assets=BigInt(totals.supply_assets - bad_debt),
        borrow_assets=BigInt(assets - bad_debt),
        borrow_shares=BigInt(all_shares - bad_shares),
    )
    return Outcome(repaid, shares, seized, bad_debt, bad_shares, after, left)


def _seized_by(market: Market, shares: int) -> int:
    """Return the collateral that shares seize; the price is not zero."""
    worth = to_assets_down(shares, market.totals.borrow_assets, market.totals.borrow_shares)
    return mul_div_down(mul_div_down(worth, market.bonus, WAD), ORACLE_PRICE_SCALE, market.price)


def form_of(market: Market, ceiling: Market, position: Position, cover: int) -> Form:
    """Return the call that repays at most ``cover``; ``ceiling`` is the market :data:`CEILING_SECONDS` later."""
    if market.doubt is not None or ceiling.doubt is not None:
        return Form(0, 0)
    try:
        shares = to_shares_down(cover, ceiling.totals.borrow_assets, ceiling.totals.borrow_shares)
        shares = min(shares, position.borrow_shares)
        by_shares = _seized_by(market, shares) <= position.collateral
    except OverflowError:
        return Form(0, 0)
    return Form(0, shares) if by_shares else Form(position.collateral, 0)


def preview(market: Market, ceiling: Market, position: Position, pair: tuple[Address, Address], cover: int) -> Preview:
    """Return what the call for a cover does; ``pair`` is the debt and the collateral asked for."""
    params = market.params
    if params is None or pair != (params.loan_token, params.collateral_token):
        return refused(pair, cover, MARKET_NOT_CREATED)  # another pair is another market, which is not this venue's
    doubt = market.doubt or ceiling.doubt
    if doubt is not None:
        return refused(pair, cover, f"unknown: {doubt.reason}")
    done = liquidate(market, position, form_of(market, ceiling, position, cover))
    if isinstance(done, str):
        return refused(pair, cover, done)
    left = figures(replace(market, totals=done.totals), done.position)
    if isinstance(left, Unknown):
        return refused(pair, cover, f"unknown: {left.reason}")
    return foreseen(market, pair, cover, done, Left(left.debt, left.health, market.price))


class Left(NamedTuple):
    """What an account is left with: its debt, the health after, and the price (1e-36 loan tokens) that values both."""

    debt: int
    health: int | None
    price: int


def foreseen(market: Market, pair: tuple[Address, Address], cover: int, done: Outcome, left: Left) -> Preview:
    """Return the preview of a call that does this."""
    return Preview(
        *pair,
        TokenAmount(cover),
        TokenAmount(done.repaid),
        TokenAmount(done.seized),
        TokenAmount(0),
        market.value(done.repaid),
        market.value(mul_div_down(done.seized, left.price, ORACLE_PRICE_SCALE)),
        market.value(left.debt),
        None if left.health is None else Wad(left.health),
        None,
    )


def refused(pair: tuple[Address, Address], cover: int, reason: str) -> Preview:
    """Return the preview of a call that the contract refuses."""
    nothing, worthless = TokenAmount(0), BaseAmount(0)
    return Preview(*pair, TokenAmount(cover), nothing, nothing, nothing, worthless, worthless, worthless, None, reason)


def pairs(market: Market, ceiling: Market, position: Position) -> tuple[Pair, ...]:
    """Return the market's one pair when the account may be liquidated now. There is no close factor: all of it may."""
    found = figures(market, position)
    params = market.params
    if params is None or isinstance(found, Unknown) or ceiling.doubt is not None or not position.collateral:
        return ()
    if found.health is None or found.health >= WAD:
        return ()
    totals = ceiling.totals
    return (
        Pair(
            params.loan_token,
            params.collateral_token,
            TokenAmount(to_assets_up(position.borrow_shares, totals.borrow_assets, totals.borrow_shares)),
            Bps(market.bonus // WAD_PER_BPS),
            Bps(params.lltv // WAD_PER_BPS),
            market.value(found.debt),
            market.value(found.collateral_value),
        ),
    )
