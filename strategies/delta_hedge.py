"""Say how the operator's exposure to an asset could be neutralised at a perpetual exchange.

What counts for a market is everything of the tokens that are mapped to it: what the signer's wallet holds (seized
collateral above all), what own accounts have put up and owe at the venues that are looked at, each at the venue's
price, and the position that own accounts already have in the market. The sum is the *net delta*, in USD: what is gained
for each hundred percent that the asset rises. Outside of the operator's band the plan is the opposite position, all of
it; within the band it is none.

Nothing is sent: a plan is a decision for the operator's eyes. Where a figure is missing there is no plan for the
market, as an unknown exposure is not none.

What a venue's margin does not show (an Aave supply that is not used as collateral) is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.core.ids import Address
from keeper.core.own_money import HedgeExposure, HedgePlan
from keeper.core.runconfig import DeltaHedgeSpec
from keeper.core.units import BaseAmount, BigInt, Bps, Rounding, TokenAmount, mul_div
from keeper.core.venue import AccountMargin, Status, StrategyView

WHOLE = 10**18
"""One whole of a market's base token."""
WALLET = "wallet"


def decide(view: StrategyView, accounts: Sequence[AccountMargin], spec: DeltaHedgeSpec) -> Iterator[HedgePlan]:
    """Plan at most one hedge for each market, the markets in the order of the operator's map.

    Args:
        view: The head of one chain, through the signer's eyes.
        accounts: Own accounts at all venues that count, the hedge's among them.
        spec: The operator's parameters.
    """
    if any(margin.health.status is Status.UNKNOWN for margin in accounts):
        return
    for market in dict.fromkeys(market for _, market in spec.exposures):
        plan = _plan(view, accounts, spec, market)
        if plan is not None:
            yield plan


def _plan(
    view: StrategyView, accounts: Sequence[AccountMargin], spec: DeltaHedgeSpec, market: Address
) -> HedgePlan | None:
    """Return what to do in a market, ``None`` where a figure is missing."""
    mark = view.venue(spec.hedge_venue).value_base(market, TokenAmount(WHOLE))
    exposures = _exposures(view, accounts, spec, [token for token, base in spec.exposures if base == market])
    if not mark or exposures is None:
        return None
    position = _position(view, accounts, spec.hedge_venue, market)
    delta = sum(int(each.value_base) for each in exposures) + _towards_zero(position * int(mark), WHOLE)
    inside = abs(delta) <= int(spec.band_base)
    size = 0 if inside else -_towards_zero(delta * WHOLE, int(mark))
    return HedgePlan(
        strategy=spec.name,
        venue=spec.hedge_venue,
        market=market,
        account=view.signer,
        exposures=exposures,
        position=BigInt(position),
        delta_base=BaseAmount(delta),
        band_base=spec.band_base,
        size=BigInt(size),
        size_base=BaseAmount(_towards_zero(size * int(mark), WHOLE)),
        mark_base=mark,
        bound_base=_bound(mark, size, spec.slippage_bps),
        why="within the band" if inside else "beyond the band",
    )


def _exposures(
    view: StrategyView, accounts: Sequence[AccountMargin], spec: DeltaHedgeSpec, tokens: Sequence[Address]
) -> tuple[HedgeExposure, ...] | None:
    """Return what there is of some tokens, in wallet and accounts; ``None`` where an amount or its value is unknown."""
    found: list[HedgeExposure] = []
    for token in tokens:
        held = view.balance(token)
        if held is None:
            return None
        found.append(HedgeExposure(token, WALLET, view.signer, BigInt(held), BaseAmount(0)))
        found += [
            HedgeExposure(token, margin.venue, margin.account, line.amount, BaseAmount(0))
            for margin in accounts
            if margin.venue in spec.venues
            for bucket in view.venue(margin.venue).breakdown(margin.account).buckets
            for line in bucket.lines
            if line.asset == token
        ]
    valued = [_valued(view, spec, each) for each in found if each.amount]
    known = tuple(each for each in valued if each is not None)
    return known if len(known) == len(valued) else None


def _valued(view: StrategyView, spec: DeltaHedgeSpec, exposure: HedgeExposure) -> HedgeExposure | None:
    """Return an exposure with its value by the venue where it is, else by the first that prices the token."""
    size = TokenAmount(abs(int(exposure.amount)))
    venues = spec.venues if exposure.where == WALLET else (exposure.where,)
    values = (view.venue(name).value_base(exposure.token, size) for name in venues)
    value = next((each for each in values if each is not None), None)
    if value is None:
        return None
    signed = value if exposure.amount > 0 else -value
    return HedgeExposure(exposure.token, exposure.where, exposure.account, exposure.amount, signed)


def _position(view: StrategyView, accounts: Sequence[AccountMargin], venue: str, market: Address) -> int:
    """Return what own accounts hold in the market, signed, 1e-18."""
    takeovers = view.venue(venue).takeovers
    owners = dict.fromkeys(margin.account for margin in accounts if margin.venue == venue)
    held = [size for owner in owners for base, size in (takeovers.held(owner) if takeovers else ()) if base == market]
    return sum(map(int, held))


def _bound(mark: BaseAmount, size: int, slippage: Bps) -> BaseAmount:
    """Return the worst price of a whole: below the mark for who sells, above it for who buys."""
    if size < 0:
        return BaseAmount(mul_div(int(mark), Bps.ONE - int(slippage), Bps.ONE, Rounding.FLOOR))
    return BaseAmount(mul_div(int(mark), Bps.ONE + int(slippage), Bps.ONE, Rounding.CEIL))


def _towards_zero(value: int, divisor: int) -> int:
    """Divide so that what is traded is never more than what is there."""
    return value // divisor if value >= 0 else -(-value // divisor)
