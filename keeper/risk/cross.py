"""Cross margin in the standard form: what each position needs by itself, and what offsets it within one expiry.

The rules are those of Derive's standard manager (lyra-finance/v2-core d69b557, ``StandardManager.sol``). Quantities
are ``q``, spot ``S``, a perpetual's price ``P``, an option's price ``V`` (Black 1976, not discounted)::

    perpetual      |q| · P · r
    short call     V + mmCall·S                              maintenance, for each contract
                   V + max(maxReq - max(K - S, 0)/S, minReq)·S                    initial
    short put      V + max(mmPut·S, mmPutMtM·V)                                   maintenance
                   max(V + max(maxReq - max(S - K, 0)/S, minReq)·S, maintenance · offset)
    long option    nothing

Within one expiry the requirement is at most the largest loss at settlement, over a price of zero and every strike
held, and where more calls are sold than bought ``unpaired · F`` for each of those. Expiries and markets add up. A base
asset secures ``q · P · factor``. For the initial margin alone there is more to secure: where a feed's confidence ``c``
is below its threshold ``(1 - c) · OCFactor · S`` for each contract short, perpetual or base unit, and while the stable
coin is below its threshold ``(threshold - P_stable) · depegFactor · S`` for each contract short or perpetual.

Isolated margin is the same with one position in each account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from keeper.core.errors import RiskInputError
from keeper.risk.greeks import instrument_greeks
from keeper.risk.inputs import Bools, Floats, Integers, number
from keeper.risk.instruments import Instruments, Kind, Portfolio
from keeper.risk.tiers import CollateralFactor

MARGINED = (Kind.SPOT, Kind.PERPETUAL, Kind.OPTION)
"""What the standard form knows."""


class PerpetualRatios(NamedTuple):
    """The share of a perpetual's notional that is to be secured."""

    maintenance: float = 0.065
    initial: float = 0.10


class OptionRatios(NamedTuple):
    """The shares of spot, and the scales, of the option rules; the defaults are those of Derive's main network.

    Attributes:
        max_spot, min_spot: The initial share of spot at the money, and the least of it out of the money.
        call_maintenance, put_maintenance: The maintenance share of spot.
        put_maintenance_value: The maintenance share of a put's own value.
        unpaired_initial, unpaired_maintenance: The share of the forward for each call sold without one bought.
        put_offset: By how much the initial margin of a put is above its maintenance at least.
    """

    max_spot: float = 0.15
    min_spot: float = 0.13
    call_maintenance: float = 0.09
    put_maintenance: float = 0.09
    put_maintenance_value: float = 0.09
    unpaired_initial: float = 1.2
    unpaired_maintenance: float = 1.1
    put_offset: float = 1.05


class Contingency(NamedTuple):
    """What a feed of little confidence adds; a threshold of zero never adds anything."""

    perpetual_threshold: float = 0.0
    option_threshold: float = 0.0
    base_threshold: float = 0.0
    factor: float = 0.0


class Depeg(NamedTuple):
    """What a stable coin below its peg adds."""

    threshold: float = 0.99
    factor: float = 2.0


@dataclass(frozen=True, slots=True)
class MarketRules:
    """The parameters of one underlying's market; the defaults are those of ether on Derive's main network."""

    perpetual: PerpetualRatios = field(default_factory=PerpetualRatios)
    option: OptionRatios = field(default_factory=OptionRatios)
    collateral: CollateralFactor = field(default_factory=lambda: CollateralFactor(0.80, 0.9375))
    contingency: Contingency = field(default_factory=Contingency)


DERIVE_PERPETUALS = {
    "ETH": PerpetualRatios(),
    "BTC": PerpetualRatios(),
    "SOL": PerpetualRatios(0.067, 0.10),
    "PEPE": PerpetualRatios(0.143, 0.20),
    "WIF": PerpetualRatios(0.143, 0.20),
}
"""Perpetual ratios on Derive's main network; ``SOL`` stands for its like."""


@dataclass(frozen=True, slots=True)
class StandardRules:
    """The parameters of all markets.

    Attributes:
        markets: By the name of the underlying.
        depeg: Of the stable coin that cash is in.
        stable_price_usd: Its price.
    """

    markets: Mapping[str, MarketRules]
    depeg: Depeg = field(default_factory=Depeg)
    stable_price_usd: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class UnitMargins:
    """What one contract is worth, secures and needs, USD, shape (U,) each.

    Attributes:
        value_usd: Its price; of a base asset in units of the stable coin.
        secures_usd: What one held adds: a perpetual its price, against what was paid for it, which stands in cash.
        requirement_usd: What one that counts needs by itself.
        contingency_usd: What it needs besides for its feeds.
        depeg_usd: What it needs besides for the stable coin.
        unpaired_usd: What a call sold without one bought can lose beside the loss at the strikes held.
        is_option: Which are options: of these the short ones count, of all others every one.
    """

    value_usd: Floats
    secures_usd: Floats
    requirement_usd: Floats
    contingency_usd: Floats
    depeg_usd: Floats
    unpaired_usd: Floats
    is_option: Bools

    @classmethod
    def of(cls, market: Instruments, rules: StandardRules, *, initial: bool) -> UnitMargins:
        """Work the figures out, once for all accounts.

        Raises:
            RiskInputError: an instrument is of a kind the standard form does not know, or its market has no rules.
        """
        _check(market, rules)
        each = _Columns(market, rules)
        perpetual, base, option = (market.kind == kind for kind in (Kind.PERPETUAL, Kind.SPOT, Kind.OPTION))
        price = instrument_greeks(market).price
        ratio = each(lambda rule: rule.perpetual.initial if initial else rule.perpetual.maintenance)
        share = each(lambda rule: rule.collateral.secures_usd(1.0, initial=initial))
        scale = each(lambda rule: rule.option.unpaired_initial if initial else rule.option.unpaired_maintenance)
        needs = np.where(perpetual, price * ratio, 0.0)
        needs[option] = _option_requirement(market, each, price, initial=initial)[option]
        stable = number("stable_price_usd", rules.stable_price_usd, above=0)
        spot = market.spot_usd[market.underlying]
        below = max(rules.depeg.threshold - stable, 0.0) * rules.depeg.factor if initial else 0.0
        return cls(
            value_usd=np.where(base, price / stable, price),
            secures_usd=np.select([perpetual, base], [price, price * share], 0.0),
            requirement_usd=needs,
            contingency_usd=_contingency(market, each, price) if initial else np.zeros(len(market)),
            depeg_usd=np.where(base, 0.0, below * spot),
            unpaired_usd=np.where(option & market.is_call, scale * market.forward_usd, 0.0),
            is_option=option,
        )

    def counted(self, held: csr_array) -> csr_array:
        """Return how many of each contract count: of options the short ones, of all others every one."""
        sizes = np.where(self.is_option[held.indices], np.maximum(-held.data, 0.0), np.abs(held.data))
        return csr_array((sizes, held.indices, held.indptr), shape=held.shape)


@dataclass(frozen=True, slots=True, eq=False)
class StandardMargin:
    """The margin of A accounts with its parts, USD; shape (A,), or (A, G) by underlying and expiry.

    Attributes:
        cash_usd: Cash, and what perpetuals have gained.
        base_usd: What base assets secure.
        perpetuals_usd: What perpetuals need.
        isolated_usd: What short options need by themselves, shape (A, G).
        max_loss_usd: What they can lose at most, shape (A, G).
        contingency_usd: What feeds of little confidence need.
        depeg_usd: What a stable coin below its peg needs.
        mark_to_market_usd: What everything is worth.
    """

    cash_usd: Floats
    base_usd: Floats
    perpetuals_usd: Floats
    isolated_usd: Floats
    max_loss_usd: Floats
    contingency_usd: Floats
    depeg_usd: Floats
    mark_to_market_usd: Floats

    @property
    def options_usd(self) -> Floats:
        """What options need, the lesser of the two in each expiry, shape (A, G)."""
        return np.minimum(self.isolated_usd, self.max_loss_usd)

    @property
    def equity_usd(self) -> Floats:
        """What secures, shape (A,)."""
        return self.cash_usd + self.base_usd

    @property
    def requirement_usd(self) -> Floats:
        """What is to be secured, shape (A,)."""
        needs: Floats = self.perpetuals_usd + self.options_usd.sum(axis=1) + self.contingency_usd + self.depeg_usd
        return needs

    @property
    def margin_usd(self) -> Floats:
        """What is left, shape (A,); below zero the account lacks margin."""
        return self.equity_usd - self.requirement_usd


def standard_margin(
    market: Instruments, portfolio: Portfolio, rules: StandardRules, *, initial: bool
) -> StandardMargin:
    """Return the initial or the maintenance margin of every account.

    Args:
        market: Instruments and their prices.
        portfolio: What the accounts hold of them.
        rules: The parameters.
        initial: Whether the margin to open is wanted, or that to be left alone.

    Raises:
        RiskInputError: as :meth:`UnitMargins.of`, or an account is short of a base asset.
    """
    units = UnitMargins.of(market, rules, initial=initial)
    held = portfolio.held_in(market)
    counted = units.counted(held)
    base, option = market.kind == Kind.SPOT, units.is_option
    if (held.data[base[held.indices]] < 0).any():
        raise RiskInputError("quantities", "hold less than nothing of a base asset", "lend it in a market that does")
    return StandardMargin(
        cash_usd=portfolio.cash_usd + held @ np.where(base, 0.0, units.secures_usd),
        base_usd=held @ np.where(base, units.secures_usd, 0.0),
        perpetuals_usd=counted @ np.where(option, 0.0, units.requirement_usd),
        isolated_usd=(counted @ market.buckets.summing(np.where(option, units.requirement_usd, 0.0))).toarray(),
        max_loss_usd=_max_loss(market, held, units),
        contingency_usd=counted @ units.contingency_usd,
        depeg_usd=counted @ units.depeg_usd,
        mark_to_market_usd=portfolio.cash_usd + held @ units.value_usd,
    )


class _Columns:
    """A parameter of each instrument's market, shape (U,)."""

    def __init__(self, market: Instruments, rules: StandardRules) -> None:
        self._rules = [rules.markets[name] for name in market.underlyings]
        self._of = market.underlying

    def __call__(self, of: Callable[[MarketRules], float]) -> Floats:
        """Return what ``of`` says of each instrument's market."""
        found: Floats = np.array([of(rule) for rule in self._rules], np.float64)[self._of]
        return found


def _check(market: Instruments, rules: StandardRules) -> None:
    _check_rules(rules)
    known = np.isin(market.kind, MARGINED) & ~market.inverse
    if not known.all():
        name = market.names[int(np.argmin(known))]
        raise RiskInputError(name, "is not margined in the standard form", "leave it out of the account")
    for name in market.underlyings:
        if name not in rules.markets:
            raise RiskInputError(name, "has no margin rules", "give its market's parameters")


def _check_rules(rules: StandardRules) -> None:
    """Refuse a share that is negative or no number: margin would be lent where it is to be asked for."""
    for name, market in rules.markets.items():
        for part in (market.perpetual, market.option, market.contingency, market.collateral):
            for field_name, share in part._asdict().items():
                number(f"{name} {field_name}", share, least=0)
        number(f"{name} collateral maintenance", market.collateral.maintenance, least=0, most=1)
        number(f"{name} collateral initial_scale", market.collateral.initial_scale, least=0, most=1)
    number("depeg threshold", rules.depeg.threshold, least=0)
    number("depeg factor", rules.depeg.factor, least=0)


def _option_requirement(market: Instruments, each: _Columns, price: Floats, *, initial: bool) -> Floats:
    """Return what one short contract needs by itself, shape (U,)."""
    spot, call = market.spot_usd[market.underlying], market.is_call
    share = np.where(call, each(lambda rule: rule.option.call_maintenance), 0.0)
    by_spot = np.where(call, share, each(lambda rule: rule.option.put_maintenance)) * spot
    by_value = np.where(call, 0.0, each(lambda rule: rule.option.put_maintenance_value)) * price
    maintenance: Floats = price + np.maximum(by_spot, by_value)
    if not initial:
        return maintenance
    away = np.maximum(np.where(call, market.strike_usd - spot, spot - market.strike_usd), 0.0) / spot
    least = each(lambda rule: rule.option.min_spot)
    opened: Floats = price + np.maximum(each(lambda rule: rule.option.max_spot) - away, least) * spot
    offset = each(lambda rule: rule.option.put_offset)
    return np.where(call, opened, np.maximum(opened, maintenance * offset))


def _contingency(market: Instruments, each: _Columns, price: Floats) -> Floats:
    """Return what one contract that counts needs for the confidence of its feeds, shape (U,).

    That of an option is the least of its expiry's feeds; of a perpetual the lesser of its own and spot's.
    """
    of = market.buckets.of
    expiry_least = np.full(len(market.buckets), np.inf)
    np.minimum.at(expiry_least, of[market.is_option], market.confidence[market.is_option])
    own = np.where(market.is_option, expiry_least[of], market.confidence)
    confidence = np.minimum(own, market.spot_confidence[market.underlying])
    kinds = [market.kind == kind for kind in MARGINED]
    thresholds = [
        each(lambda rule: rule.contingency.base_threshold),
        each(lambda rule: rule.contingency.perpetual_threshold),
        each(lambda rule: rule.contingency.option_threshold),
    ]
    low = confidence < np.select(kinds, thresholds)
    spot = np.where(kinds[0], price, market.spot_usd[market.underlying])
    return np.where(low, (1.0 - confidence) * each(lambda rule: rule.contingency.factor) * spot, 0.0)


def _max_loss(market: Instruments, held: csr_array, units: UnitMargins) -> Floats:
    """Return the largest loss at settlement of every account in every expiry, shape (A, G), never negative."""
    losses = np.zeros((held.shape[0], len(market.buckets)))
    columns = held.tocsc()
    for bucket in np.unique(market.buckets.of[units.is_option]):
        places = np.flatnonzero((market.buckets.of == bucket) & units.is_option)
        here = columns[:, places].tocsr()
        here.eliminate_zeros()
        rows = np.flatnonzero(np.diff(here.indptr))
        losses[rows, bucket] = _expiry_loss(market, here[rows], places, units.unpaired_usd)
    return losses


def _expiry_loss(market: Instruments, held: csr_array, places: Integers, unpaired_usd: Floats) -> Floats:
    """Return the largest loss in one expiry of accounts that hold some of its options, (A, options), shape (A,).

    Between two strikes the payoff is linear, so more strikes than an account holds change nothing, but those above its
    highest: there the calls sold without one bought have a scale of their own.
    """
    strikes, calls = market.strike_usd[places], market.is_call[places]
    prices = np.concatenate([[0.0], np.unique(strikes)])
    away = prices[None, :] - strikes[:, None]
    payoffs = held @ np.maximum(np.where(calls[:, None], away, -away), 0.0)
    highest = np.maximum.reduceat(strikes[held.indices], held.indptr[:-1]) if held.nnz else np.zeros(0)
    payoffs[prices[None, :] > highest[:, None]] = 0.0
    unpaired = np.maximum(-(held @ calls.astype(np.float64)), 0.0)
    scale = float(unpaired_usd[places].max(initial=0.0))
    loss: Floats = np.maximum(-payoffs.min(axis=1, initial=0.0), 0.0) + unpaired * scale
    return loss
