"""An account's margin term by term: cross margin, every deposit and every profit securing every position.

Equity is the account's value (``Vault.getAccountValue``), the requirement a share of what its positions are worth
(``getMarginRequirementForLiquidation``); both in 1e-18 of the settlement token. An account that has deposited other
tokens has a bucket besides for each of the three conditions on which those are sold.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from keeper.core.ids import Address, to_hex
from keeper.core.margin import ACCOUNT, CUT, Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.units import BigInt
from keeper.venues.perp_v2.collateral import debt_of
from keeper.venues.perp_v2.margin import Account, Figures, collateral_value, known, pending_funding, position_value
from keeper.venues.perp_v2.market import Now, Unknown
from keeper.venues.perp_v2.math import RATIO, WAD, from_settlement, mul_ratio, to_settlement
from keeper.venues.perp_v2.state import PerpContracts, Terms

WAD_PER_RATIO = WAD // RATIO


def breakdown_of(now: Now, account: Account, figures: Figures, contracts: PerpContracts) -> MarginBreakdown:
    """Return a taker's margin term by term; ``figures`` are those of the same account and time."""
    lines = [*_held(now, account, contracts), *_positions(now, account)]
    value = from_settlement(figures.account_value, contracts.settlement_decimals)
    cuts = (value - sum(line.equity for line in lines), figures.requirement - sum(line.requirement for line in lines))
    if any(cuts):
        lines.append(MarginLine(item=CUT, equity=BigInt(cuts[0]), requirement=BigInt(cuts[1])))
    bucket = Bucket(name=ACCOUNT, unit=to_hex(contracts.settlement), scale=BigInt(WAD), lines=tuple(lines))
    return MarginBreakdown(MarginKind.CROSS, (bucket,))


def sale_buckets(
    now: Now, terms: Terms, figures: Figures, threshold: int, contracts: PerpContracts
) -> tuple[Bucket, ...]:
    """Return a bucket for each condition of ``isLiquidatable``: below zero, collateral may be sold."""
    unit, decimals, debt = to_hex(contracts.settlement), contracts.settlement_decimals, debt_of(figures)
    owed = from_settlement(to_settlement(debt, decimals), decimals)
    sides = {
        "sale: account value": (
            figures.settlement_value + figures.pledged,
            mul_ratio(figures.abs_value, now.config.mm + terms.buffer),
        ),
        "sale: share of collateral": (mul_ratio(figures.pledged, terms.debt_ratio), debt),
        "sale: debt allowed": (from_settlement(threshold, decimals), owed),
    }
    return tuple(
        msgspec.structs.replace(Bucket.of_totals("as the vault compares", unit, WAD, *each), name=name)
        for name, each in sides.items()
    )


def told(contracts: PerpContracts, value: int, requirement: int) -> MarginBreakdown:
    """Return the margin of one that provides liquidity: the contracts tell two figures, and nothing of their parts."""
    unit = to_hex(contracts.settlement)
    return MarginBreakdown(MarginKind.CROSS, (Bucket.of_totals("as the contracts say", unit, WAD, value, requirement),))


def _held(now: Now, account: Account, contracts: PerpContracts) -> Iterator[MarginLine]:
    deposit = BigInt(from_settlement(account.settlement, contracts.settlement_decimals))
    if deposit:
        held = BigInt(account.settlement)
        yield MarginLine(item="deposit", asset=contracts.settlement, amount=held, value=deposit, equity=deposit)
    if account.owed:
        yield MarginLine(item="realized profit", value=BigInt(account.owed), equity=BigInt(account.owed))
    for token, amount in account.collaterals.items():
        collateral = now.collaterals.get(token)
        if collateral is None or isinstance(collateral, Unknown):
            continue
        worth = collateral_value(collateral, amount)
        yield MarginLine(
            item="collateral",
            asset=token,
            amount=BigInt(amount),
            value=BigInt(worth),
            weight_wad=BigInt(collateral.ratio * WAD_PER_RATIO),
            equity=BigInt(mul_ratio(worth, collateral.ratio)),
            exposure=BigInt(mul_ratio(worth, collateral.ratio)),
        )


def _positions(now: Now, account: Account) -> Iterator[MarginLine]:
    for base, position in account.positions.items():
        market = known(now.markets.get(base))
        if isinstance(market, Unknown):
            continue
        mark, growth = market
        worth = position_value(position.size, mark)
        requirement = mul_ratio(abs(worth), now.config.mm)
        yield MarginLine(
            item="position",
            asset=base,
            amount=position.size,
            value=BigInt(worth),
            weight_wad=BigInt(now.config.mm * WAD_PER_RATIO),
            equity=BigInt(worth + position.open_notional),
            requirement=BigInt(requirement),
            exposure=BigInt(worth - requirement),
        )
        yield from _funding(base, -pending_funding(position, growth))


def _funding(base: Address, received: int) -> Iterator[MarginLine]:
    if received:
        yield MarginLine(item="funding", asset=base, value=BigInt(received), equity=BigInt(received))
