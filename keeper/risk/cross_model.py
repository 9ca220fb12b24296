"""The standard form's margin of an account, explained line by line in integers.

Figures are worked out in float64 (:mod:`keeper.risk.cross`) and become integers here, once: USD of 1e-8, each line to
the nearest, and an account's equity rounded down and its requirement up. What the lines lack of those two is a line of
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from keeper.core.margin import ACCOUNT, CUT, Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.units import BaseAmount, BigInt, Wad
from keeper.risk.cross import StandardMargin, StandardRules, UnitMargins, standard_margin
from keeper.risk.instruments import Instruments, Kind, Portfolio

UNIT = "USD"
NOISE_USD = 1e-9
"""A tenth of the smallest unit: a sum that is off a whole one by float64's own error alone counts as that one."""


@dataclass(frozen=True, slots=True)
class CrossAccount:
    """What one account holds: quantities by instrument, and cash less what perpetuals were entered at."""

    holdings: Mapping[str, float]
    cash_usd: float


@dataclass(frozen=True, slots=True)
class IsolatedPosition:
    """One position and the collateral that was put up for it, less what a perpetual was entered at."""

    instrument: str
    quantity: float
    collateral_usd: float


@dataclass(frozen=True, slots=True)
class CrossMarginModel:
    """Everything in an account secures everything: one bucket, a line for each position.

    Attributes:
        market: Instruments and their prices.
        rules: The parameters of the standard form.
        initial: Whether the requirement is that to open, or that to be left alone.
    """

    market: Instruments
    rules: StandardRules
    initial: bool = False

    @property
    def margin_kind(self) -> MarginKind:
        """How positions share what secures them."""
        return MarginKind.CROSS

    def breakdown(self, subject: CrossAccount) -> MarginBreakdown:
        """Explain an account's margin.

        Raises:
            RiskInputError: an instrument is unknown, or has no margin in the standard form.
        """
        accounts = [(subject.holdings, subject.cash_usd)]
        return MarginBreakdown(self.margin_kind, _buckets(self.market, self.rules, accounts, [ACCOUNT], self.initial))


@dataclass(frozen=True, slots=True)
class IsolatedMarginModel:
    """Each position has its own collateral: the same rules, and a bucket for each position.

    Attributes:
        market: Instruments and their prices.
        rules: The parameters of the standard form.
        initial: Whether the requirement is that to open, or that to be left alone.
    """

    market: Instruments
    rules: StandardRules
    initial: bool = False

    @property
    def margin_kind(self) -> MarginKind:
        """How positions share what secures them."""
        return MarginKind.ISOLATED

    def breakdown(self, subject: Sequence[IsolatedPosition]) -> MarginBreakdown:
        """Explain the margin of some positions, each by itself.

        Raises:
            RiskInputError: an instrument is unknown, or has no margin in the standard form.
        """
        accounts = [({each.instrument: each.quantity}, each.collateral_usd) for each in subject]
        names = [each.instrument for each in subject]
        return MarginBreakdown(self.margin_kind, _buckets(self.market, self.rules, accounts, names, self.initial))


def _buckets(
    market: Instruments,
    rules: StandardRules,
    accounts: Sequence[tuple[Mapping[str, float], float]],
    names: Sequence[str],
    initial: bool,  # noqa: FBT001 - passed on as the models hold it
) -> tuple[Bucket, ...]:
    units = UnitMargins.of(market, rules, initial=initial)
    margins = standard_margin(market, Portfolio.of(market, accounts), rules, initial=initial)
    buckets = []
    for place, (holdings, cash_usd) in enumerate(accounts):
        lines = [MarginLine(item="cash", value=_usd(cash_usd), equity=_usd(cash_usd))]
        lines += [_leg(market, units, market.index(name), size) for name, size in holdings.items() if size]
        lines += list(_shared(market, margins, place))
        lines += _rounding(lines, margins, place)
        buckets.append(Bucket(name=names[place], unit=UNIT, scale=BigInt(BaseAmount.ONE), lines=tuple(lines)))
    return tuple(buckets)


def _leg(market: Instruments, units: UnitMargins, place: int, size: float) -> MarginLine:
    """Return the line of one position; its amount is in 1e-8 of a contract."""
    counted = max(-size, 0.0) if units.is_option[place] else abs(size)
    value, secures, needs = (
        float(column[place]) for column in (units.value_usd, units.secures_usd, units.requirement_usd)
    )
    weight = (needs if needs and counted else secures) / value if value else 0.0
    side = "long" if size > 0 else "short"
    kind = Kind(market.kind[place]).name.lower()
    return MarginLine(
        item=f"{side} {kind} {market.names[place]}",
        amount=_usd(size),
        value=_usd(size * value),
        weight_wad=BigInt(round(weight * Wad.ONE)),
        equity=_usd(size * secures),
        requirement=_usd(counted * needs),
    )


def _shared(market: Instruments, margins: StandardMargin, place: int) -> Iterator[MarginLine]:
    """Yield what belongs to no position alone: the offset within each expiry, feeds, and the stable coin."""
    saved = margins.isolated_usd[place] - margins.options_usd[place]
    for bucket in np.flatnonzero(saved > NOISE_USD):
        name = market.underlyings[market.buckets.underlying[bucket]]
        item = f"loss within one expiry is bounded: {name} in {market.buckets.expiry_years[bucket]:.6f} years"
        yield MarginLine(item=item, requirement=_usd(-float(saved[bucket])))
    for item, needs in (
        ("confidence of a feed below its threshold", margins.contingency_usd),
        ("stable coin below its peg", margins.depeg_usd),
    ):
        if needs[place]:
            yield MarginLine(item=item, requirement=_usd(float(needs[place])))


def _rounding(lines: Sequence[MarginLine], margins: StandardMargin, place: int) -> list[MarginLine]:
    """Return the line of what the others lack of an equity rounded down and a requirement rounded up."""
    one = BaseAmount.ONE
    equity = floor((float(margins.equity_usd[place]) + NOISE_USD) * one) - sum(int(line.equity) for line in lines)
    needs = ceil((float(margins.requirement_usd[place]) - NOISE_USD) * one)
    needs -= sum(int(line.requirement) for line in lines)
    if not equity and not needs:
        return []
    return [MarginLine(item=CUT, equity=BigInt(equity), requirement=BigInt(needs))]


def _usd(value: float) -> BigInt:
    return BigInt(round(value * BaseAmount.ONE))
