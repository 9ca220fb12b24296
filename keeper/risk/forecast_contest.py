"""Whether regimes forecast variance better than EWMA does, judged only by days that neither had seen.

EWMA is the champion: it stays unless the challenger is better by more than chance explains. Squared returns stand for
the variance that nobody sees; of the losses that rank forecasts rightly in spite of that noise, QLIKE is the least
ruled by single days (Patton 2011, Journal of Econometrics 160, 246-256), so it decides, and the squared error is told
beside it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, aligned, array, history, whole
from keeper.risk.regimes import SHORTEST, RegimeModel, fit_regimes
from keeper.risk.volatility import DECAY_DAILY, ewma_variances

SIGNIFICANT = 1.6448536269514722
"""The 95 % quantile of the standard normal law: the Diebold-Mariano statistic that takes the championship."""


class Contest(NamedTuple):
    """Mean losses of both over the days forecast (lower is better), and who is to be believed."""

    champion: str
    challenger: str
    days: int
    """How many forecasts were judged."""
    champion_qlike: float
    challenger_qlike: float
    champion_mse: float
    challenger_mse: float
    diebold_mariano_qlike: float
    """Positive when the challenger is better; standard normal when there is no difference."""
    diebold_mariano_mse: float
    winner: Literal["champion", "challenger"]


def qlike_losses(variances: ArrayLike, returns: ArrayLike) -> Floats:
    """Return ``log v + r**2 / v``, elementwise: the quasi-likelihood loss of a variance forecast.

    Raises:
        RiskInputError: a variance is not positive, or a value is not finite.
    """
    forecast, observed = aligned(
        "variances and returns", array("variances", variances, above=0), array("returns", returns)
    )
    return np.asarray(np.log(forecast) + observed**2 / forecast)


def squared_losses(variances: ArrayLike, returns: ArrayLike) -> Floats:
    """Return ``(r**2 - v)**2``, elementwise.

    Raises:
        RiskInputError: a variance is not positive, or a value is not finite.
    """
    forecast, observed = aligned(
        "variances and returns", array("variances", variances, above=0), array("returns", returns)
    )
    return np.asarray((observed**2 - forecast) ** 2)


def diebold_mariano(champion_losses: ArrayLike, challenger_losses: ArrayLike) -> float:
    """Return how many standard errors the champion's mean loss lies above the challenger's.

    ``mean(d) / sqrt(V / n)`` of the differences ``d``, V their long-run variance by Newey and West (1987) with
    ``floor(4 * (n / 100)**(2/9))`` lags (Diebold and Mariano 1995, Journal of Business & Economic Statistics 13,
    253-263). Differences that are all zero give 0.

    Raises:
        RiskInputError: the lengths differ, there are fewer than 10 losses, or the differences do not vary.
    """
    champion = history("champion_losses", champion_losses, shortest=10)
    differences = champion - history("challenger_losses", challenger_losses, shortest=10, length=len(champion))
    if not np.any(differences):
        return 0.0
    count, mean = len(differences), float(np.mean(differences))
    deviations = differences - mean
    lags = int(4 * (count / 100) ** (2 / 9))
    total = float(deviations @ deviations)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(deviations[lag:] @ deviations[:-lag])
    if total <= 1e-24 * float(differences @ differences):
        raise RiskInputError("champion_losses", "differ from the challenger's always by as much", "give varied losses")
    return float(mean * count / np.sqrt(total))


def regime_variances(model: RegimeModel, returns: ArrayLike) -> Floats:
    """Return the second moment that a model expects before each return, and after the last: ``sum p (v + m**2)``.

    Returns:
        (n + 1,) of probabilities predicted from the returns before, as those of
        :func:`keeper.risk.volatility.ewma_variances` are.

    Raises:
        RiskInputError: the returns or the model are not well formed.
    """
    known = model.filter(returns)
    return np.asarray(np.vstack((known.predicted, known.following)) @ (model.variances + model.means**2))


def walk_forward(
    returns: ArrayLike, *, regimes: int = 2, first: int = 500, refit_every: int = 180, decay: float = DECAY_DAILY
) -> Contest:
    """Let EWMA and regimes forecast each day's variance from the days before, and say who did better.

    The regimes are fitted to all returns before a block of ``refit_every`` days, and filtered, not fitted, through
    it. So no forecast knows its own day or a later one.

    Args:
        returns: (n,) daily returns, oldest first.
        regimes: How many.
        first: How many returns are history only; at least 100.
        refit_every: Days between fits.
        decay: Of the champion.

    Raises:
        RiskInputError: the history is too short, or a fit fails.
    """
    start = whole("first", first, least=SHORTEST)
    block = whole("refit_every", refit_every, least=1)
    series = history("returns", returns, shortest=start + 10)
    judged = series[start:]
    champion = ewma_variances(series, decay)[start:-1]
    challenger, model = np.empty_like(judged), None
    for begin in range(start, len(series), block):
        model = fit_regimes(series[:begin], regimes, start=model, tolerance=1e-3)
        end = min(begin + block, len(series))
        challenger[begin - start : end - start] = regime_variances(model, series[:end])[begin:end]
    qlike = qlike_losses(champion, judged), qlike_losses(challenger, judged)
    squared = squared_losses(champion, judged), squared_losses(challenger, judged)
    statistic = diebold_mariano(*qlike)
    return Contest(
        champion=f"EWMA({decay:g})",
        challenger=f"{regimes} regimes",
        days=len(judged),
        champion_qlike=float(np.mean(qlike[0])),
        challenger_qlike=float(np.mean(qlike[1])),
        champion_mse=float(np.mean(squared[0])),
        challenger_mse=float(np.mean(squared[1])),
        diebold_mariano_qlike=statistic,
        diebold_mariano_mse=diebold_mariano(*squared),
        winner="challenger" if statistic > SIGNIFICANT else "champion",
    )
