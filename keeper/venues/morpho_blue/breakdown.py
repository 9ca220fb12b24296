"""An account's margin term by term: isolated margin, one collateral securing one debt."""

from __future__ import annotations

from keeper.core.ids import to_hex
from keeper.core.margin import Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.units import BigInt
from keeper.venues.morpho_blue.market import Market, Position, Unknown, figures


def breakdown_of(market: Market, position: Position) -> MarginBreakdown:
    """Return an account's margin in loan tokens, or why there are no figures.

    Equity is what may be owed (Morpho._isHealthy), so nothing is left to be cut off. Only the price of the
    collateral in loan tokens moves it.
    """
    found, params = figures(market, position), market.params
    if isinstance(found, Unknown):
        return MarginBreakdown(MarginKind.ISOLATED, (), found.reason)
    if params is None:
        return MarginBreakdown(MarginKind.ISOLATED, (), "the market's creation was not seen")
    collateral = MarginLine(
        item="collateral",
        asset=params.collateral_token,
        amount=BigInt(position.collateral),
        value=BigInt(found.collateral_value),
        weight_wad=BigInt(params.lltv),
        equity=BigInt(found.debt_max),
        exposure=BigInt(found.debt_max),
    )
    owed = BigInt(-found.debt)
    debt = MarginLine(item="debt", asset=params.loan_token, amount=owed, value=owed, requirement=BigInt(found.debt))
    name, unit = to_hex(params.collateral_token), to_hex(params.loan_token)
    scale, loan_base = BigInt(market.unit), BigInt(market.loan_price)
    bucket = Bucket(name=name, unit=unit, scale=scale, lines=(collateral, debt), unit_base=loan_base)
    return MarginBreakdown(MarginKind.ISOLATED, (bucket,))
