"""Option prices and sensitivities in closed form, and what they add up to over a portfolio.

Black (1976), *The pricing of commodity contracts*, on the forward F to an option's expiry, with strike K, time T in
years of 31,536,000 seconds, annual volatility s and discount factor D (1 where nothing is discounted)::

    d1 = (ln(F/K) + s^2 T / 2) / (s sqrt(T)),  d2 = d1 - s sqrt(T)
    call = D (F N(d1) - K N(d2)),  put = D (K N(-d2) - F N(-d1))

Prices and values are in USD, volatilities and rates fractions a year. Vega is for a volatility higher by one (100 %),
theta for one year's passing with the forward standing still; rho for a rate higher by one. All functions work element
by element on whatever numpy broadcasts.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, Integers, aligned, array, flags, number
from keeper.risk.instruments import RATE_ANNUAL_MAX, VOL_ANNUAL_MAX, Instruments, Kind, Portfolio


class Greeks(NamedTuple):
    """A price and how it changes; arrays of one shape.

    Attributes:
        price: USD.
        delta: For a forward (or spot, where the function says so) higher by one USD.
        gamma: Of delta, for the same.
        vega: USD for a volatility higher by one.
        theta: USD a year.
    """

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats


class SpotGreeks(NamedTuple):
    """Those of an option on spot: delta and gamma are for spot, and there is rho, USD for a rate higher by one."""

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


class InverseGreeks(NamedTuple):
    """Those of a value in coins, arrays of one shape.

    Attributes:
        price_coin: What it is worth in coins.
        delta_coin: Coins gained for a forward that is one per cent higher, times 100: ``F dV/dF``.
        delta_usd: The notional in USD of the inverse perpetual that moves alike: ``delta_coin * F``.
        gamma_coin: Of ``dV/dF``, coins for each USD squared: ``d2V/dF2``.
        vega_coin: Coins for a volatility higher by one.
        theta_coin: Coins a year.
    """

    price_coin: Floats
    delta_coin: Floats
    delta_usd: Floats
    gamma_coin: Floats
    vega_coin: Floats
    theta_coin: Floats


class BucketedGreeks(NamedTuple):
    """Sums over A accounts' positions in G buckets; the Greeks are of shape (A, G), in USD.

    Attributes:
        underlying: Each bucket's underlying, shape (G,).
        expiry_years: Each bucket's expiry, infinite for what has none, shape (G,).
        delta, gamma, vega, theta: As :class:`Greeks` has them, of each instrument's own forward.
    """

    underlying: Integers
    expiry_years: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats


class Attribution(NamedTuple):
    """What a move of the market did to A accounts, USD, shape (A,) each.

    Attributes:
        delta, gamma, vega, theta: What the first Greeks before the move explain: ``delta dF``, ``gamma dF^2 / 2``,
            ``vega ds`` and ``theta dt``.
        residual: What they do not: ``total`` less those four.
        total: By full revaluation after and before.
    """

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    residual: Floats
    total: Floats


def black76(
    forward_usd: ArrayLike,
    strike_usd: ArrayLike,
    expiry_years: ArrayLike,
    vol_annual: ArrayLike,
    is_call: ArrayLike,
    discount: ArrayLike = 1.0,
) -> Floats:
    """Return Black's (1976) price of a European option on a forward, USD.

    A volatility of zero gives the (discounted) intrinsic value.

    Raises:
        RiskInputError: a forward, strike, time or discount factor is not positive, or a volatility negative.
    """
    option = _Option.checked(forward_usd, strike_usd, expiry_years, vol_annual, is_call)
    factor, price = aligned("discounts and options", array("discount", discount, above=0.0), option.price)
    return factor * price


def black76_greeks(
    forward_usd: ArrayLike,
    strike_usd: ArrayLike,
    expiry_years: ArrayLike,
    vol_annual: ArrayLike,
    is_call: ArrayLike,
    rate_annual: ArrayLike = 0.0,
) -> Greeks:
    """Return Black's (1976) price and its Greeks of the forward, discounted at ``D = exp(-r T)``.

    ``delta = D (N(d1) - [put])``, ``gamma = D phi(d1) / (F s sqrt(T))``, ``vega = D F phi(d1) sqrt(T)``,
    ``theta = r price - D F phi(d1) s / (2 sqrt(T))``.

    Raises:
        RiskInputError: a forward, strike, time or volatility is not positive, or a volatility or a rate absurd.
    """
    option = _Option.checked(forward_usd, strike_usd, expiry_years, vol_annual, is_call)
    array("vol_annual", option.vol, above=0.0, most=VOL_ANNUAL_MAX)
    rate, _ = aligned("rates and options", _rates(rate_annual), option.years)
    discount = np.exp(-rate * option.years)
    price, decay = discount * option.price, discount * option.decay
    return Greeks(price, discount * option.delta, discount * option.gamma, discount * option.vega, rate * price - decay)


def black_scholes_greeks(
    spot_usd: ArrayLike,
    strike_usd: ArrayLike,
    expiry_years: ArrayLike,
    vol_annual: ArrayLike,
    is_call: ArrayLike,
    rate_annual: ArrayLike = 0.0,
) -> SpotGreeks:
    """Return the Black-Scholes price of an option on spot and its Greeks (Hull, *Options, Futures*, ch. 19).

    Spot pays nothing, so the forward is ``S exp(r T)``; delta and gamma are for spot, theta with spot standing still:
    ``theta = -S phi(d1) s / (2 sqrt(T)) -+ r K D N(+-d2)`` and ``rho = +-K T D N(+-d2)``, upper signs for a call.

    Raises:
        RiskInputError: a price, strike, time or volatility is not positive, or a volatility or a rate absurd.
    """
    spot, rate, years = aligned(
        "prices, rates and expiries",
        array("spot_usd", spot_usd, above=0.0),
        _rates(rate_annual),
        array("expiry_years", expiry_years, above=0.0),
    )
    growth = np.exp(rate * years)
    option = _Option.checked(spot * growth, strike_usd, years, vol_annual, is_call)
    array("vol_annual", option.vol, above=0.0, most=VOL_ANNUAL_MAX)
    price, decay = option.price / growth, option.decay / growth
    strike_held = spot * option.delta - price  # the bond of the replicating portfolio, K D N(d2) or -K D N(-d2)
    return SpotGreeks(
        price=price,
        delta=option.delta,
        gamma=option.gamma * growth,
        vega=option.vega / growth,
        theta=-decay - rate * strike_held,
        rho=years * strike_held,
    )


def inverse_greeks(
    forward_usd: ArrayLike,
    strike_usd: ArrayLike,
    expiry_years: ArrayLike,
    vol_annual: ArrayLike,
    is_call: ArrayLike,
) -> InverseGreeks:
    """Return the coin value ``V = Black76 / F`` of a coin-settled option (Deribit's), and its Greeks.

    ``F dV/dF = delta - V`` and ``d2V/dF2 = gamma / F - 2 (delta - V) / F^2`` with Black's delta and gamma.

    Raises:
        RiskInputError: a forward, strike, time or volatility is not positive, or a volatility absurd.
    """
    forward = array("forward_usd", forward_usd, above=0.0)
    usd = black76_greeks(forward, strike_usd, expiry_years, vol_annual, is_call)
    coins = usd.price / forward
    delta = usd.delta - coins
    return InverseGreeks(
        price_coin=coins,
        delta_coin=delta,
        delta_usd=delta * forward,
        gamma_coin=usd.gamma / forward - 2.0 * delta / forward**2,
        vega_coin=usd.vega / forward,
        theta_coin=usd.theta / forward,
    )


def instrument_greeks(instruments: Instruments) -> Greeks:
    """Return the Greeks of one contract of each instrument, shape (U,), USD, of its own forward.

    Options are Black's without discounting, as Derive and Deribit price them; in USD an inverse option is worth the
    same. A linear contract has delta 1 and an inverse perpetual or future, one USD of notional, the inverse of its
    price; neither has any other Greek.
    """
    forward, option = instruments.forward_usd, instruments.is_option
    coin_settled = instruments.inverse & ~option
    price = np.where(coin_settled, 1.0, forward)
    delta = np.where(coin_settled, 1.0 / forward, 1.0)
    gamma, vega, theta = np.zeros(len(forward)), np.zeros(len(forward)), np.zeros(len(forward))
    found = black76_greeks(
        forward[option],
        instruments.strike_usd[option],
        instruments.expiry_years[option],
        instruments.vol_annual[option],
        instruments.is_call[option],
    )
    for column, values in zip((price, delta, gamma, vega, theta), found, strict=True):
        column[option] = values
    return Greeks(price, delta, gamma, vega, theta)


def bucketed(instruments: Instruments, portfolio: Portfolio) -> BucketedGreeks:
    """Return every account's Greeks by underlying and expiry; over the buckets they sum to the account's own.

    Raises:
        RiskInputError: the portfolio is over other instruments.
    """
    held, each, buckets = portfolio.held_in(instruments), instrument_greeks(instruments), instruments.buckets
    delta, gamma, vega, theta = (
        (held @ buckets.summing(values)).toarray() for values in (each.delta, each.gamma, each.vega, each.theta)
    )
    return BucketedGreeks(buckets.underlying, buckets.expiry_years, delta, gamma, vega, theta)


def attribution(
    before: Instruments, after: Instruments, portfolio: Portfolio, elapsed_years: float = 0.0
) -> Attribution:
    """Explain by Greeks what a move of the market did to each account, and name what they leave unexplained.

    Args:
        before: The market before the move.
        after: The same instruments after it, each with ``elapsed_years`` less to its expiry.
        portfolio: What was held throughout.
        elapsed_years: How long the move took.

    Raises:
        RiskInputError: the instruments are others, or the expiries are not nearer by the time that passed.
    """
    number("elapsed_years", elapsed_years, least=0.0)
    _same_listing(before, after, elapsed_years)
    held, first = portfolio.held_in(before), instrument_greeks(before)
    moved, rose = after.forward_usd - before.forward_usd, after.vol_annual - before.vol_annual
    coin_settled = before.inverse & (before.kind != Kind.OPTION)
    later = np.where(coin_settled, after.forward_usd / before.forward_usd, instrument_greeks(after).price)
    total = held @ (later - first.price)
    parts = (first.delta * moved, first.gamma * moved**2 / 2.0, first.vega * rose, first.theta * elapsed_years)
    delta, gamma, vega, theta = (held @ part for part in parts)
    return Attribution(delta, gamma, vega, theta, total - delta - gamma - vega - theta, total)


def _rates(rate_annual: ArrayLike) -> Floats:
    """Return interest rates as fractions a year."""
    return array("rate_annual", rate_annual, least=-RATE_ANNUAL_MAX, most=RATE_ANNUAL_MAX)


def _same_listing(before: Instruments, after: Instruments, elapsed_years: float) -> None:
    if before.names != after.names:
        raise RiskInputError("instruments", "are others after the move", "give the same ones in the same order")
    dated = np.isfinite(before.expiry_years)
    nearer = before.expiry_years[dated] - after.expiry_years[dated]
    if not np.allclose(nearer, elapsed_years, rtol=1e-9, atol=1e-12):
        raise RiskInputError(
            "elapsed_years", "is not by how much the expiries came nearer", "give the time that passed"
        )


class _Option(NamedTuple):
    """Checked inputs and what everything undiscounted follows from."""

    forward: Floats
    strike: Floats
    years: Floats
    vol: Floats
    call: Bools
    d1: Floats

    @classmethod
    def checked(
        cls, forward: ArrayLike, strike: ArrayLike, years: ArrayLike, vol: ArrayLike, call: ArrayLike
    ) -> _Option:
        f, k, t, s, c = aligned(
            "forwards, strikes, expiries, volatilities and kinds",
            array("forward_usd", forward, above=0.0),
            array("strike_usd", strike, above=0.0),
            array("expiry_years", years, above=0.0),
            array("vol_annual", vol, least=0.0),
            flags("is_call", call).astype(np.float64),
        )
        calls = c > 0
        spread = s * np.sqrt(t)
        with np.errstate(divide="ignore", invalid="ignore"):
            d1 = np.log(f / k) / spread + spread / 2.0
        at_strike = np.isnan(d1)  # no volatility, at the money: worth nothing on either side
        return cls(f, k, t, s, calls, np.where(at_strike, 0.0, d1))

    @property
    def price(self) -> Floats:
        sign = np.where(self.call, 1.0, -1.0)
        d2 = self.d1 - self.vol * np.sqrt(self.years)
        value: Floats = sign * (self.forward * ndtr(sign * self.d1) - self.strike * ndtr(sign * d2))
        return np.maximum(value, 0.0)

    @property
    def density(self) -> Floats:
        return np.exp(-(self.d1**2) / 2.0) / sqrt(2.0 * pi)

    @property
    def delta(self) -> Floats:
        delta: Floats = ndtr(self.d1) - np.where(self.call, 0.0, 1.0)
        return delta

    @property
    def gamma(self) -> Floats:
        return self.density / (self.forward * self.vol * np.sqrt(self.years))

    @property
    def vega(self) -> Floats:
        return self.forward * self.density * np.sqrt(self.years)

    @property
    def decay(self) -> Floats:
        return self.forward * self.density * self.vol / (2.0 * np.sqrt(self.years))
