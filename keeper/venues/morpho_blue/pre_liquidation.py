"""What ``preLiquidate`` would do, to the last unit: a part of a debt closed before the market's own line is reached.

The contract is Morpho's pre-liquidation contract (PreLiquidation.preLiquidate). Its terms are immutable. Between
``pre_lltv`` and the market's ``lltv`` it lets a share of the debt be repaid, and gives collateral for it. That share
(the close factor) and what is given per value repaid (the incentive) grow linearly with the loan to value. It is the
borrower who lets it, by authorising the contract on Morpho. It prices the collateral by an oracle of its own, and what
it does has to pass Morpho: the withdrawal is refused if the market's oracle calls what is left unsafe.

The call names shares to repay, or collateral to seize. We name shares: what is repaid then does not hang on the price.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount
from keeper.core.venue import Pair, Preview
from keeper.venues.morpho_blue.liquidation import (
    MARKET_NOT_CREATED,
    MAX_UINT128_EXCEEDED,
    UNDERFLOW,
    WAD_PER_BPS,
    Form,
    Left,
    Outcome,
    foreseen,
    refused,
)
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
from keeper.venues.morpho_blue.state import Terms

INCONSISTENT = "InconsistentInput"
LIQUIDATABLE_POSITION = "LiquidatablePosition"
NOT_PRE_LIQUIDATABLE = "NotPreLiquidatablePosition"
TOO_LARGE = "PreLiquidationTooLarge"
ZERO_ASSETS = "zero assets"
UNAUTHORIZED = "unauthorized"
INSUFFICIENT_COLLATERAL = "insufficient collateral"


NO_TERMS = Terms(BigInt(0), BigInt(0), BigInt(0), BigInt(WAD), BigInt(WAD), ZERO_ADDRESS)


class Zone(msgspec.Struct, frozen=True):
    """The market with the contract's view of it: its terms, and the price by its own oracle (1e-36 loan tokens).

    ``doubt`` is set when nothing can be said of anybody; then the terms may be :data:`NO_TERMS`.
    """

    market: Market
    terms: Terms
    price: int
    doubt: Unknown | None


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where an account stands, in loan tokens: its debt, its collateral's value, and the zone between two debts.

    ``health`` is the debt at its beginning (``line``) over the debt in wad, rounded down: below one exactly when the
    account is past the line. Without debt it is ``None``.
    """

    debt: int
    value: int
    line: int
    end: int
    health: int | None

    @property
    def is_inside(self) -> bool:
        """Whether the account is in the zone; with nothing to its name it is nowhere."""
        return self.line < self.debt <= self.end


def standing(zone: Zone, position: Position) -> Standing | Unknown:
    """Return where an account stands, or why that is not known."""
    if zone.doubt is not None:
        return zone.doubt
    try:
        return _standing(zone, position)
    except OverflowError:
        return Unknown("its figures do not fit the contract's integers")


def _standing(zone: Zone, position: Position) -> Standing:
    totals = zone.market.totals
    value = mul_div_down(position.collateral, zone.price, ORACLE_PRICE_SCALE)
    debt = to_assets_up(position.borrow_shares, totals.borrow_assets, totals.borrow_shares)
    line, end = mul_div_down(value, zone.terms.pre_lltv, WAD), mul_div_down(value, _lltv(zone), WAD)
    return Standing(debt, value, line, end, line * WAD // debt if debt else None)


def _lltv(zone: Zone) -> int:
    return 0 if zone.market.params is None else zone.market.params.lltv


def quotient(zone: Zone, found: Standing) -> int:
    """Return how far into the zone an account is, in wad: nothing at its line, one at the market's."""
    begin = zone.terms.pre_lltv
    return mul_div_down(mul_div_up(found.debt, WAD, found.value) - begin, WAD, _lltv(zone) - begin)


def close_factor(terms: Terms, into: int) -> int:
    """Return the share of the debt that may be repaid at once, in wad; it may be more than one."""
    return mul_div_down(into, terms.close_factor_last - terms.close_factor_first, WAD) + terms.close_factor_first


def incentive(terms: Terms, into: int) -> int:
    """Return what is given per value repaid, in wad."""
    return mul_div_down(into, terms.incentive_last - terms.incentive_first, WAD) + terms.incentive_first


def pre_liquidate(zone: Zone, position: Position, form: Form, *, authorized: bool) -> Outcome | str:
    """Return what the call does at the market's timestamp, or the error that it gives, in the contract's order."""
    if (form.seized == 0) == (form.repaid_shares == 0):
        return INCONSISTENT
    if zone.doubt is not None:
        return f"unknown: {zone.doubt.reason}"
    try:
        found = _standing(zone, position)
        if not found.is_inside:
            return LIQUIDATABLE_POSITION if found.debt > found.end else NOT_PRE_LIQUIDATABLE
        seized, shares = _amounts(zone, found, form)
        repayable = _repayable(zone, found, position)
        if shares > repayable:
            return f"{TOO_LARGE}({shares}, {repayable})"
        return _executed(zone.market, position, seized, shares, authorized=authorized)
    except OverflowError:
        return UNDERFLOW


def _amounts(zone: Zone, found: Standing, form: Form) -> tuple[int, int]:
    """Return the collateral and the shares that a call is about."""
    totals = zone.market.totals
    borrowed = (int(totals.borrow_assets), int(totals.borrow_shares))
    factor = incentive(zone.terms, quotient(zone, found))
    if form.seized:
        quoted = mul_div_up(form.seized, zone.price, ORACLE_PRICE_SCALE)
        return form.seized, to_shares_up(mul_div_up(quoted, WAD, factor), *borrowed)
    worth = mul_div_down(to_assets_down(form.repaid_shares, *borrowed), factor, WAD)
    return mul_div_down(worth, ORACLE_PRICE_SCALE, zone.price), form.repaid_shares


def _repayable(zone: Zone, found: Standing, position: Position) -> int:
    return mul_div_down(position.borrow_shares, close_factor(zone.terms, quotient(zone, found)), WAD)


def _executed(market: Market, position: Position, seized: int, shares: int, *, authorized: bool) -> Outcome | str:
    """Do what Morpho does: ``repay`` first, and from its callback ``withdrawCollateral``."""
    totals = market.totals
    borrowed = (int(totals.borrow_assets), int(totals.borrow_shares))
    repaid = to_assets_up(shares, *borrowed)
    if shares > position.borrow_shares:
        return UNDERFLOW
    if seized == 0:
        return ZERO_ASSETS
    if not authorized:
        return UNAUTHORIZED
    if seized > position.collateral:
        return MAX_UINT128_EXCEEDED if seized > UINT128_MAX else UNDERFLOW
    left = Position(position.supply_shares, position.borrow_shares - shares, position.collateral - seized)
    assets = BigInt(max(borrowed[0] - repaid, 0))
    after = replace(totals, borrow_assets=assets, borrow_shares=BigInt(borrowed[1] - shares))
    held = figures(replace(market, totals=after), left)
    if isinstance(held, Unknown):
        return UNDERFLOW
    return Outcome(repaid, shares, seized, 0, 0, after, left) if held.debt_max >= held.debt else INSUFFICIENT_COLLATERAL


def form_of(zone: Zone, ceiling: Market, position: Position, cover: int) -> Form:
    """Return the call that repays at most ``cover`` and what the close factor lets; ``ceiling`` is the market later."""
    if zone.doubt is not None or ceiling.doubt is not None:
        return Form(0, 0)
    try:
        found = _standing(zone, position)
        shares = to_shares_down(cover, ceiling.totals.borrow_assets, ceiling.totals.borrow_shares)
        most = _repayable(zone, found, position) if found.is_inside else shares
        return Form(0, min(shares, position.borrow_shares, most))
    except OverflowError:
        return Form(0, 0)


def preview(
    zone: Zone, ceiling: Market, position: Position, pair: tuple[Address, Address], cover: int, *, authorized: bool
) -> Preview:
    """Return what the call for a cover does; ``pair`` is the debt and the collateral asked for."""
    market = zone.market
    params = market.params
    if params is None or pair != (params.loan_token, params.collateral_token):
        return refused(pair, cover, MARKET_NOT_CREATED)
    done = pre_liquidate(zone, position, form_of(zone, ceiling, position, cover), authorized=authorized)
    if isinstance(done, str):
        return refused(pair, cover, done)
    left = standing(replace(zone, market=replace(market, totals=done.totals)), done.position)
    if isinstance(left, Unknown):
        return refused(pair, cover, f"unknown: {left.reason}")
    return foreseen(market, pair, cover, done, Left(left.debt, left.health, zone.price))


def pairs(zone: Zone, ceiling: Market, position: Position, *, authorized: bool) -> tuple[Pair, ...]:
    """Return the market's one pair while the account is in the zone: its close factor, incentive and line of now."""
    found, params = standing(zone, position), zone.market.params
    if params is None or isinstance(found, Unknown) or ceiling.doubt is not None or not authorized:
        return ()
    if not found.is_inside:
        return ()
    base: tuple[BaseAmount, BaseAmount] = (zone.market.value(found.debt), zone.market.value(found.value))
    shares, totals = min(_repayable(zone, found, position), position.borrow_shares), ceiling.totals
    return (
        Pair(
            params.loan_token,
            params.collateral_token,
            TokenAmount(to_assets_up(shares, totals.borrow_assets, totals.borrow_shares)),
            Bps(incentive(zone.terms, quotient(zone, found)) // WAD_PER_BPS),
            Bps(zone.terms.pre_lltv // WAD_PER_BPS),
            *base,
        ),
    )
