"""Portfolio margin: the worst of a scenario grid, with the contingencies of Derive's manager, or of a plain grid.

Derive's portfolio margin (lyra-finance/v2-core, `PMRMLib`), for each underlying and with V an expiry's options::

    loss_s = sum_e [disc_e(V_e,s) - V_e] + linear_s - linear        disc of positive totals only:
    disc_e = 0.95 exp(-T (max(rate, 0) rate_factor + rate_addend))
    basis  = sum_e min(V_e(F 1.05) - V_e, V_e(F 0.95) - V_e, 0) (basis_addend + basis_factor T)
    static = S (perpetual_share |perpetuals| + base_share |coins| + option_share naked shorts)
    span   = min(min_s loss_s, basis) - static
    maintenance = span + value + cash
    initial = span (initial_factor + max(peg - P_stable, 0) peg_factor) - confidence + value + cash

A margin below zero is what lacks. Underlyings add up: the worst of one is not offset by another. Dated futures are
linear, as perpetuals are; no discount and no basis contingency falls on them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keeper.risk.grouping import GroupedBook
from keeper.risk.inputs import Bools, Floats, Integers, number
from keeper.risk.instruments import Instruments
from keeper.risk.revaluation import OWN_COIN, coin_table, price_table
from keeper.risk.scenarios import DeriveParameters, GridParameters, ScenarioSet, VolShock

CONTINGENT_COLUMNS = 3
"""Columns of Derive's table after the scenarios: the forward's move down, its move up, and the market as it is."""


class DeriveMargins(NamedTuple):
    """Derive's margins of A accounts, and what they consist of, by P pairs of account and underlying; USD.

    Attributes:
        initial_usd: Shape (A,); below zero nothing may be added.
        maintenance_usd: Shape (A,); below zero the account may be liquidated.
        value_usd: Positions at market and cash, shape (A,).
        losses_usd: Each scenario's loss, negative, or gain, shape (P, S).
        worst: The scenario with the least of them, or S where the basis contingency is less, shape (P,).
        span_usd: The least loss over scenarios, shape (P,).
        basis_usd: Shape (P,), not above zero.
        static_usd: Shape (P,), not below zero.
        confidence_usd: Shape (P,), not below zero; of the initial margin only.
        initial_factor: What the initial margin takes losses times.
    """

    initial_usd: Floats
    maintenance_usd: Floats
    value_usd: Floats
    losses_usd: Floats
    worst: Integers
    span_usd: Floats
    basis_usd: Floats
    static_usd: Floats
    confidence_usd: Floats
    initial_factor: float


class GridMargins(NamedTuple):
    """Margins of A accounts by a plain grid, in USD or in coins as was asked; by P pairs of account and underlying.

    Attributes:
        initial: The account's value less its worst loss, shape (A,).
        maintenance: The account's value less a share of it, shape (A,).
        value: Positions at market and cash, shape (A,).
        gains: What each scenario of the grid brings, shape (P, S).
        worst: The scenario with the least of them, or S where the extended table has less, shape (P,).
        requirement: The worst loss, shape (P,), not below zero.
    """

    initial: Floats
    maintenance: Floats
    value: Floats
    gains: Floats
    worst: Integers
    requirement: Floats


def derive_table(instruments: Instruments, parameters: DeriveParameters, stable_price_usd: float = 1.0) -> Floats:
    """Return what one contract is worth under each scenario, both moves of the forward and now, shape (U, S + 3).

    A coin is counted in stable coins, so that one below its peg makes coins worth more of it.

    Raises:
        RiskInputError: the stable coin's price is not positive.
    """
    down, up = parameters.basis_moves
    factors = np.append(parameters.scenarios.factors, [1.0 + down, 1.0 + up, 1.0])
    shocks = np.append(parameters.scenarios.shocks, [VolShock.NONE] * CONTINGENT_COLUMNS)
    table = price_table(instruments, factors, shocks, parameters.vol_rule)
    table[np.isin(instruments.kind, OWN_COIN)] /= number("stable_price_usd", stable_price_usd, above=0.0)
    return table


def derive_margins(
    instruments: Instruments, book: GroupedBook, parameters: DeriveParameters, stable_price_usd: float = 1.0
) -> DeriveMargins:
    """Return every account's margins as Derive's portfolio margin manager has them.

    Raises:
        RiskInputError: the book was compiled for other instruments, an expiry has several rates, or the stable coin's
            price is not positive.
    """
    book.valued_in(instruments)
    table = derive_table(instruments, parameters, stable_price_usd)
    losses, basis, value = _scenario_losses(book, table, *expiry_weights(instruments, book, parameters))
    static = static_contingency(instruments, book, parameters)
    worst = np.argmin(losses, axis=1)
    span = losses[np.arange(len(book)), worst]
    binding = np.minimum(span, basis) - static
    confidence = confidence_contingency(instruments, book, parameters)
    factor = parameters.initial_factor
    factor += max(parameters.peg_threshold - stable_price_usd, 0.0) * parameters.peg_factor
    held = book.by_account(value) + book.cash_usd
    return DeriveMargins(
        initial_usd=held + book.by_account(binding * factor - confidence),
        maintenance_usd=held + book.by_account(binding),
        value_usd=held,
        losses_usd=losses,
        worst=np.where(basis < span, losses.shape[1], worst),
        span_usd=span,
        basis_usd=basis,
        static_usd=static,
        confidence_usd=confidence,
        initial_factor=factor,
    )


def expiry_weights(instruments: Instruments, book: GroupedBook, parameters: DeriveParameters) -> tuple[Floats, Floats]:
    """Return each bucket's discount of a positive value and share of its basis loss, shape (G,); 1 and 0 if linear.

    Raises:
        RiskInputError: the book was compiled for other instruments.
    """
    book.valued_in(instruments)
    option, first = book.bucket_options, book.bucket_first
    years = np.where(option, instruments.expiry_years[first], 0.0)
    rate = np.maximum(instruments.rate_annual[first], 0.0) * parameters.rate_factor + parameters.rate_addend
    discount = np.where(option, parameters.static_discount * np.exp(-years * rate), 1.0)
    return discount, np.where(option, parameters.basis_addend + parameters.basis_factor * years, 0.0)


def static_contingency(instruments: Instruments, book: GroupedBook, parameters: DeriveParameters) -> Floats:
    """Return each pair's static contingency, shape (P,), USD, not below zero.

    Raises:
        RiskInputError: the book was compiled for other instruments.
    """
    book.valued_in(instruments)
    share = np.where(np.isin(instruments.kind, OWN_COIN), parameters.base_share, parameters.perpetual_share)
    each = np.where(instruments.is_option, 0.0, share * _notional_usd(instruments))
    spot = instruments.spot_usd[book.underlyings]
    return book.over_pairs(book.sizes * each[book.legs]) + parameters.option_share * spot * book.naked_shorts


def confidence_contingency(instruments: Instruments, book: GroupedBook, parameters: DeriveParameters) -> Floats:
    """Return each pair's confidence contingency, shape (P,), USD, not below zero.

    A group whose least confident feed, spot among them, is below the threshold pays ``(1 - c)`` times the factor of its
    size at spot.

    Raises:
        RiskInputError: the book was compiled for other instruments.
    """
    book.valued_in(instruments)
    confidence = np.minimum(instruments.confidence, instruments.spot_confidence[instruments.underlying])
    if not len(book) or not np.any(confidence < parameters.confidence_threshold):
        return np.zeros(len(book))
    least = np.minimum.reduceat(confidence[book.legs], book.group_starts)
    size = np.add.reduceat(book.sizes * _notional_usd(instruments)[book.legs], book.group_starts)
    low = least < parameters.confidence_threshold
    of_groups = np.where(low, (1.0 - least) * parameters.confidence_factor * size, 0.0)
    return np.add.reduceat(of_groups, book.pair_groups)


def grid_margins(
    instruments: Instruments, book: GroupedBook, parameters: GridParameters, *, in_coins: bool = False
) -> GridMargins:
    """Return every account's margins as the worst of a grid and of an extended table: Deribit's, or SPAN's scan risk.

    Args:
        instruments: The market.
        book: What is held; its cash is in coins where the figures are.
        parameters: The grid.
        in_coins: Whether figures are in coins of the one underlying, as Deribit's segregated margin has them.

    Raises:
        RiskInputError: the book was compiled for other instruments, or is counted in coins of several underlyings.
    """
    book.valued_in(instruments)
    gains, value = _grid_gains(instruments, book, parameters, parameters.scenarios, in_coins=in_coins)
    worst = np.argmin(gains, axis=1)
    least = gains[np.arange(len(book)), worst]
    if parameters.extended is not None:
        far, _ = _grid_gains(instruments, book, parameters, parameters.extended, in_coins=in_coins)
        dampener = parameters.dampener_usd / (instruments.spot_usd[0] if in_coins else 1.0)
        extreme = np.minimum(np.min(far, axis=1) + dampener, 0.0)
        worst = np.where(extreme < least, gains.shape[1], worst)
        least = np.minimum(least, extreme)
    requirement = np.maximum(-least, 0.0)
    held, required = book.by_account(value) + book.cash_usd, book.by_account(requirement)
    maintenance = held - parameters.maintenance_share * required
    return GridMargins(held - required, maintenance, held, gains, worst, requirement)


def _scenario_losses(
    book: GroupedBook, table: Floats, discount: Floats, basis_share: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return losses (P, S), basis contingency (P,) and value at market (P,)."""
    count = table.shape[1] - CONTINGENT_COLUMNS
    losses, basis, value = np.empty((len(book), count)), np.empty(len(book)), np.empty(len(book))
    for chunk in book.chunks:
        totals = chunk.quantities @ table
        down, up, now = totals[:, count:].T.copy()
        np.minimum(totals, totals * discount[chunk.buckets, None], out=totals)
        moved = np.minimum(np.minimum(down, up) - now, 0.0)
        totals[:, count] = moved * basis_share[chunk.buckets]
        totals[:, -1] = now
        summed = chunk.sums @ totals
        np.subtract(summed[:, :count], summed[:, -1:], out=losses[chunk.pairs])
        basis[chunk.pairs], value[chunk.pairs] = summed[:, count], summed[:, -1]
    return losses, basis, value


def _grid_gains(
    instruments: Instruments, book: GroupedBook, parameters: GridParameters, scenarios: ScenarioSet, *, in_coins: bool
) -> tuple[Floats, Floats]:
    """Return each scenario's gain that counts (P, S), and the value at market (P,)."""
    priced = coin_table if in_coins else price_table
    factors, shocks = np.append(scenarios.factors, 1.0), np.append(scenarios.shocks, VolShock.NONE)
    table = priced(instruments, factors, shocks, parameters.vol_rule)
    values = np.empty((len(book), len(scenarios) + 1))
    for chunk in book.chunks:
        values[chunk.pairs] = chunk.sums @ (chunk.quantities @ table)
    return (values[:, :-1] - values[:, -1:]) * scenarios.loss_shares, values[:, -1]


def _notional_usd(instruments: Instruments) -> Floats:
    """Return what one contract is of at spot, shape (U,): a coin, or a dollar of an inverse perpetual or future."""
    coin_settled: Bools = instruments.inverse & ~instruments.is_option
    return np.where(coin_settled, 1.0, instruments.spot_usd[instruments.underlying])
