"""GARCH(1,1) and its asymmetric form: variance that clusters and goes back to a long-run level.

``v[t+1] = omega + alpha * e[t]**2 + gamma * e[t]**2 * (e[t] < 0) + beta * v[t]`` with ``e[t] = r[t] - mu`` (Bollerslev
1986; the term of gamma is that of Glosten, Jagannathan and Runkle 1993). Returns and variances are in the caller's
units, one step apart.

The recursion has to start somewhere, and the answer depends on it: a *backcast* stands for both the squared residual
and the variance before the first return. The mean squared residual, at the very parameters that are tried, is the
start of Bollerslev and Ghysels (1996), against which programs are compared by Fiorentini, Calzolari and Panattoni
(1996).

What a return is in standard deviations follows the normal law, or Student's t of unit variance with ``nu`` degrees of
freedom (Bollerslev 1987), which is the normal at ``nu = inf``.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, gammaln

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, aligned, array, history, number, whole

Backcast: TypeAlias = float | Literal["mean-squared-residual"]

SHORTEST = 100
"""A fit to fewer returns says nothing about how variance persists."""
_OMEGA_LEAST = 1e-8
"""The least omega tried, as a share of the sample's variance."""
_PERSISTENCE_MOST = 1 - 1e-9
"""The greatest persistence tried: above 1 variance explodes, and a sum must not round to there."""
_STARTS = ((0.05, 0.90), (0.10, 0.85), (0.10, 0.60), (0.02, 0.97), (0.25, 0.70))
"""Pairs of alpha and beta; the search begins at the likeliest."""
_STEPS_MOST = 500
_NU_BOUNDS = (2.01, 1000.0)
"""The degrees of freedom tried: at 2 there is no variance, and at a thousand the law is the normal's."""
_NU_STARTS = (4.0, 10.0)


class GarchParams(NamedTuple):
    """The parameters of a constant mean and a GARCH(1,1) variance."""

    mu: float
    """Mean return."""
    omega: float
    """Positive, in squared returns."""
    alpha: float
    """What the last squared residual weighs."""
    beta: float
    """What the last variance weighs."""
    gamma: float = 0.0
    """What the last squared residual weighs in addition if it was negative; 0 is plain GARCH."""

    @property
    def persistence(self) -> float:
        """``alpha + beta + gamma / 2``: what remains, on average, of a deviation after one step."""
        return self.alpha + self.beta + self.gamma / 2


class GarchFit(NamedTuple):
    """What a fit found."""

    params: GarchParams
    log_likelihood: float
    variances: Floats
    """(n + 1,) as :func:`garch_variances` gives them; the last is the forecast."""
    nu: float = math.inf
    """Degrees of freedom of Student's t; infinite is the normal law."""


def garch_variances(residuals: ArrayLike, params: GarchParams, backcast: Backcast) -> Floats:
    """Return the variance before each residual, and the one after the last.

    Args:
        residuals: (n,) returns less ``params.mu``, oldest first.
        params: The parameters; ``mu`` is not used.
        backcast: The squared residual and variance before the first, or the mean of the squared residuals.

    Returns:
        (n + 1,) positive variances; element t is the one-step forecast for residual t.

    Raises:
        RiskInputError: a parameter is out of range (persistence above 1 included), or a value is not finite.
    """
    series = history("residuals", residuals, shortest=1)
    checked = _checked(params)
    return _variances(series, checked, _start(series, backcast))


def garch_update(params: GarchParams, variance: ArrayLike, residual: ArrayLike) -> Floats:
    """Return the variance after one more residual: one step of :func:`garch_variances`, elementwise.

    It is made of sums and products alone, which every machine rounds alike.

    Args:
        params: The parameters; ``mu`` is not used.
        variance: The forecast for this residual.
        residual: The return less ``params.mu``.

    Raises:
        RiskInputError: a parameter is out of range, a variance is negative, or a value is not finite.
    """
    checked = _checked(params)
    before, observed = aligned(
        "variances and residuals", array("variance", variance, least=0), array("residual", residual)
    )
    weight = checked.alpha + checked.gamma * (observed < 0)
    return np.asarray(checked.omega + weight * (observed * observed) + checked.beta * before)


def garch_log_likelihood(
    returns: ArrayLike,
    params: GarchParams,
    backcast: Backcast = "mean-squared-residual",
    nu: float = math.inf,
) -> float:
    """Return the log-likelihood of returns under the normal law, or under Student's t of unit variance.

    ``-1/2 * sum(log(2 pi) + log v[t] + e[t]**2 / v[t])``, or for finite nu ``sum(c(nu) - log(v[t]) / 2 -
    (nu + 1) / 2 * log(1 + e[t]**2 / (v[t] (nu - 2))))`` with ``c = lgamma((nu + 1) / 2) - lgamma(nu / 2) -
    log(pi (nu - 2)) / 2`` (Bollerslev 1987).

    Args:
        returns: (n,) returns, oldest first.
        params: The parameters.
        backcast: As for :func:`garch_variances`.
        nu: Degrees of freedom, more than 2; infinite is the normal law.

    Raises:
        RiskInputError: as :func:`garch_variances` does, or nu is at most 2 or NaN.
    """
    degrees = nu if nu == math.inf else number("nu", nu, above=2)
    residuals = history("returns", returns, shortest=1) - number("mu", params.mu)
    variances = garch_variances(residuals, params, backcast)[:-1]
    return -float(np.sum(_losses(residuals * residuals / variances, variances, degrees)))


def long_run_variance(params: GarchParams) -> float:
    """Return the level that variance goes back to, ``omega / (1 - persistence)``.

    Raises:
        RiskInputError: a parameter is out of range, or the persistence is 1 and there is no such level.
    """
    persistence = _checked(params).persistence
    if persistence >= 1:
        raise RiskInputError("persistence", f"is {persistence:g}", "a long-run variance needs less than 1")
    return params.omega / (1 - persistence)


def garch_forecast(params: GarchParams, variance: ArrayLike, steps: ArrayLike) -> Floats:
    """Return the variance expected ``steps`` steps after ``variance``, elementwise.

    ``V + p**k * (v - V)`` with ``p`` the persistence and ``V`` the long-run variance, written so that it holds at
    ``p = 1`` too: ``p**k * v + omega * (1 + p + ... + p**(k-1))``.

    Args:
        params: The parameters.
        variance: A one-step forecast; ``steps = 0`` is this one itself.
        steps: How many steps later, at least 0.

    Raises:
        RiskInputError: a parameter is out of range, a variance or number of steps is negative or not finite.
    """
    persistence = _checked(params).persistence
    now, later = aligned("variances and steps", array("variance", variance, least=0), array("steps", steps, least=0))
    if persistence == 1:
        return np.asarray(now + params.omega * later)
    # 1 - p**k without cancellation where p is nearly 1.
    gone = -np.expm1(later * math.log(max(persistence, 1e-300)))
    return np.asarray((1 - gone) * now + params.omega * gone / (1 - persistence))


def garch_cumulative(params: GarchParams, variance: ArrayLike, steps: int) -> Floats:
    """Return the variance expected of the sum of the next ``steps`` returns, the first of which has ``variance``.

    Returns:
        The shape of ``variance``. Its square root is the volatility over the horizon.

    Raises:
        RiskInputError: as :func:`garch_forecast` does, or there is no step.
    """
    count = whole("steps", steps, least=1)
    now = array("variance", variance, least=0)
    return np.asarray(garch_forecast(params, now[..., np.newaxis], np.arange(count)).sum(axis=-1))


def fit_garch(
    returns: ArrayLike,
    *,
    backcast: Backcast = "mean-squared-residual",
    asymmetric: bool = False,
    student: bool = False,
) -> GarchFit:
    """Fit a constant mean and a GARCH(1,1) variance by maximum likelihood of the normal law or of Student's t.

    The likelihood and its exact gradient go to sequential quadratic programming from the likeliest of a few fixed
    starts, so the same returns give the same fit. Variance stays positive and the persistence below 1. Where nothing
    clusters, ``alpha`` is 0 and ``beta`` says nothing.

    Args:
        returns: (n,) returns, oldest first; at least 100.
        backcast: As for :func:`garch_variances`; a number is in the returns' squared unit and stays fixed.
        asymmetric: Whether ``gamma`` is fitted, too.
        student: Whether the law is Student's t and its degrees of freedom are fitted, too.

    Raises:
        RiskInputError: there are too few returns, they do not vary, or the search does not converge.
    """
    series = history("returns", returns, shortest=SHORTEST)
    centre, scale = float(np.mean(series)), float(np.std(series))
    if scale <= 1e-12 * max(abs(centre), 1e-300):
        raise RiskInputError("returns", "do not vary", "give a history in which the price moves")
    start = backcast if isinstance(backcast, str) else number("backcast", backcast, above=0) / scale**2
    found, nu = _maximum((series - centre) / scale, start, asymmetric=asymmetric, student=student)
    params = found._replace(mu=centre + scale * found.mu, omega=found.omega * scale**2)
    variances = garch_variances(series - params.mu, params, backcast)
    return GarchFit(params, garch_log_likelihood(series, params, backcast, nu), variances, nu)


def _checked(params: GarchParams) -> GarchParams:
    number("mu", params.mu)
    number("omega", params.omega, above=0)
    number("alpha", params.alpha, least=0)
    number("beta", params.beta, least=0)
    number("gamma", params.gamma, least=-params.alpha)
    number("persistence", params.persistence, most=1)
    return params


def _start(residuals: Floats, backcast: Backcast) -> float:
    if not isinstance(backcast, str):
        return number("backcast", backcast, above=0)
    if backcast != "mean-squared-residual":
        raise RiskInputError("backcast", f"is {backcast!r}", 'give a number or "mean-squared-residual"')
    return float(np.mean(residuals * residuals))


def _variances(residuals: Floats, params: GarchParams, start: float) -> Floats:
    squares = residuals * residuals
    driven = params.omega + (params.alpha + params.gamma * (residuals < 0)) * squares
    driven = np.concatenate(([params.omega + params.persistence * start], driven))
    return _accumulated(driven, params.beta)


def _accumulated(driven: Floats, decay: float) -> Floats:
    """Return ``v`` with ``v[0] = driven[0]`` and ``v[t] = decay * v[t-1] + driven[t]``, along the last axis."""
    from scipy.signal import lfilter  # noqa: PLC0415 - a second to import, and a daemon goes a step at a time

    sums: Floats = lfilter([1.0], [1.0, -decay], driven, axis=-1)
    return sums


def _losses(squares: Floats, variances: Floats, nu: float) -> Floats:
    """Return minus the logarithm of each density, of squared residuals in units of their variances."""
    if nu == math.inf:
        return np.asarray(0.5 * (math.log(2 * math.pi) + np.log(variances) + squares))
    constant = float(gammaln((nu + 1) / 2) - gammaln(nu / 2)) - math.log(math.pi * (nu - 2)) / 2
    return np.asarray(0.5 * np.log(variances) + (nu + 1) / 2 * np.log1p(squares / (nu - 2)) - constant)


def _maximum(series: Floats, backcast: Backcast, *, asymmetric: bool, student: bool) -> tuple[GarchParams, float]:
    """Return the likeliest parameters of a standardised series, and the degrees of freedom."""
    from scipy.optimize import minimize  # noqa: PLC0415 - slow to import, and a daemon never fits

    def loss(point: Floats) -> tuple[float, Floats]:
        nu = float(point[-1]) if student else math.inf
        value, gradient, by_nu = _mean_loss(series, point[: 3 + sides], backcast, nu)
        return value, np.append(gradient, by_nu) if student else gradient

    sides = 2 if asymmetric else 1
    tails = [[nu] for nu in _NU_STARTS] if student else [[]]
    weights = np.array([0.0, 0.0, 1.0] + [1.0 / sides] * sides + [0.0] * student)
    starts = [
        np.array([0.0, 1 - alpha - beta, beta] + [alpha] * sides + tail) for alpha, beta in _STARTS for tail in tails
    ]
    found = minimize(
        loss,
        min(starts, key=lambda point: loss(point)[0]),
        jac=True,
        bounds=[(-1.0, 1.0), (_OMEGA_LEAST, 10.0), (0.0, 1.0)] + [(0.0, 2.0)] * sides + [_NU_BOUNDS] * student,
        constraints={"type": "ineq", "fun": lambda x: _PERSISTENCE_MOST - weights @ x, "jac": lambda _: -weights},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": _STEPS_MOST},
    )
    if not found.success or not math.isfinite(found.fun):
        raise RiskInputError("returns", f"let the fit not converge ({found.message})", "give a longer history")
    return _params(found.x[: 3 + sides]), float(found.x[-1]) if student else math.inf


def _params(point: Floats) -> GarchParams:
    """Return the parameters at a point of the search: mu, omega, beta, weight of rises, and of falls if it differs."""
    mu, omega, beta, rises, falls = (float(part) for part in (*point, point[-1])[:5])
    return GarchParams(mu, omega, rises, beta, falls - rises)


def _mean_loss(series: Floats, point: Floats, backcast: Backcast, nu: float) -> tuple[float, Floats, float]:
    """Return the mean of the losses, its gradient at a point of the search, and its derivative by nu."""
    params = _params(point)
    residuals = series - params.mu
    squares, falls = residuals * residuals, residuals < 0
    start = _start(residuals, backcast)
    variances = _variances(residuals, params, start)[:-1]
    start_by_mu = -2 * float(np.mean(residuals)) if isinstance(backcast, str) else 0.0
    sides = [~falls, falls] if len(point) == 5 else [np.ones_like(falls)]  # noqa: PLR2004 - rises and falls apart
    # What moves v[t+1] directly by each parameter; d v[t+1] is that plus beta * d v[t], the very filter of v.
    moves = [
        _after(params.persistence * start_by_mu, -2 * (params.alpha + params.gamma * falls) * residuals),
        np.ones_like(series),
        _after(start, variances),
        *(_after(start / len(sides), squares * side) for side in sides),
    ]
    moved = _accumulated(np.array(moves), params.beta)
    ratios = squares / variances
    # A t is a normal in which a residual counts the less the further out it is.
    counts = np.ones_like(ratios) if nu == math.inf else (nu + 1) / (nu - 2 + ratios)
    gradient = 0.5 * (moved @ ((1 - counts * ratios) / variances)) / len(series)
    gradient[0] -= float(np.mean(counts * residuals / variances))
    return float(np.mean(_losses(ratios, variances, nu))), gradient, _by_nu(ratios, nu)


def _by_nu(ratios: Floats, nu: float) -> float:
    """Return the derivative by nu of the mean loss of squared residuals in units of their variances."""
    if nu == math.inf:
        return 0.0
    constant = float(digamma(nu / 2) - digamma((nu + 1) / 2)) + 1 / (nu - 2)
    each = np.log1p(ratios / (nu - 2)) - (nu + 1) * ratios / ((nu - 2) * (nu - 2 + ratios))
    return 0.5 * (constant + float(np.mean(each)))


def _after(first: float, values: Floats) -> Floats:
    return np.concatenate(([first], values[:-1]))
