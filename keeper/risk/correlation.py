"""Correlation matrices: of a sample, shrunk towards order, checked, and mended where hardly broken."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, array, number

Target: TypeAlias = Literal["identity", "constant"]
"""What a matrix is shrunk towards: no correlation, or the mean correlation between all."""

LEAST_EIGENVALUE = -1e-12
"""An eigenvalue from here up is not negative but rounded."""
_ROUNDING = 1e-12
_PROJECTIONS_MOST = 5000


def sample_correlation(returns: ArrayLike) -> Floats:
    """Return the (N, N) Pearson correlation of T returns of N assets.

    Args:
        returns: (T, N), oldest first, at least two rows.

    Raises:
        RiskInputError: a value is not finite, there are too few rows, or an asset does not move.
    """
    scores = _standardised(returns)
    return _tidy(scores.T @ scores / len(scores))


def shrunk(correlation: ArrayLike, weight: float, target: Target = "identity") -> Floats:
    """Return ``(1 - weight) * correlation + weight * target``, which is positive semi-definite, too.

    Args:
        correlation: (N, N).
        weight: Of the target, within [0, 1]; see :func:`ledoit_wolf_weight`.
        target: ``identity``, or ``constant``: every pair has the mean correlation of all pairs.

    Raises:
        RiskInputError: the matrix is no correlation, the weight lies outside [0, 1], or the target is unknown.
    """
    sample = require_psd("correlation", correlation)
    share = number("weight", weight, least=0, most=1)
    return _tidy((1 - share) * sample + share * _target(sample, target))


def ledoit_wolf_weight(returns: ArrayLike, target: Target = "identity") -> float:
    """Return the weight of the target that minimises the expected squared error of the shrunk correlation.

    ``(pi - rho) / (gamma * T)`` within [0, 1]: pi sums the variances of the sample's entries, rho their covariances
    with the target's, gamma is the squared distance of the two. ``identity`` is Ledoit and Wolf (2004, Journal of
    Multivariate Analysis 88, 365-411); ``constant`` is Ledoit and Wolf (2004, Journal of Portfolio Management 30,
    110-119, appendix B). Both are taken of standardised returns, since correlations are what is shrunk. Where sample
    and target are one, the weight is 0.

    Args:
        returns: (T, N), oldest first.
        target: As for :func:`shrunk`.

    Raises:
        RiskInputError: as :func:`sample_correlation` does, or the target is unknown.
    """
    scores = _standardised(returns)
    count, assets = scores.shape
    sample = scores.T @ scores / count
    aim = _target(sample, target)
    squares = scores * scores
    variances = squares.T @ squares / count - sample * sample
    distance = float(np.sum((sample - aim) ** 2))
    if distance <= _ROUNDING * assets:
        return 0.0
    spread = float(variances.sum())
    if target == "constant":
        # Covariance of each variance with each covariance, of unit variances.
        shared = (squares * scores).T @ scores / count - sample
        np.fill_diagonal(shared, 0)
        spread -= float(np.trace(variances)) + float(aim[0, 1]) * float(shared.sum())
    return float(np.clip(spread / (distance * count), 0, 1))


def require_psd(name: str, matrix: ArrayLike) -> Floats:
    """Return a matrix if it is a correlation: symmetric, unit diagonal, entries within [-1, 1], no negative eigenvalue.

    Raises:
        RiskInputError: it is not; the least eigenvalue is named when it is below -1e-12.
    """
    checked = _symmetric_unit(name, matrix)
    least = float(np.linalg.eigvalsh(checked)[0])
    if least < LEAST_EIGENVALUE:
        raise RiskInputError(
            name, f"has the eigenvalue {least:.6g}, so a portfolio with less than no risk", "shrink it, or mend it"
        )
    return checked


def nearest_psd(name: str, matrix: ArrayLike, distance_most: float = 0.05) -> Floats:
    """Return the correlation matrix that is nearest in the Frobenius norm, if it is near.

    Alternating projections upon the positive semi-definite and the unit diagonal, with Dykstra's correction (Higham
    2002, IMA Journal of Numerical Analysis 22, 329-343).

    Args:
        name: What it is, for the message.
        matrix: (N, N), symmetric, unit diagonal, entries within [-1, 1].
        distance_most: The greatest change of an entry that is a mend; beyond, the matrix is wrong and must be asked
            about.

    Raises:
        RiskInputError: it is not symmetric with a unit diagonal, or too far from any correlation matrix.
    """
    given = _symmetric_unit(name, matrix)
    limit = number("distance_most", distance_most, least=0)
    if np.linalg.eigvalsh(given)[0] >= 0:
        return given
    mended = _projected(name, given)
    moved = float(np.max(np.abs(mended - given)))
    if moved > limit:
        raise RiskInputError(name, f"is {moved:.3g} away from any correlation", f"at most {limit:g} can be mended")
    return require_psd(name, mended)


def _projected(name: str, given: Floats) -> Floats:
    point, correction = given.copy(), np.zeros_like(given)
    for _ in range(_PROJECTIONS_MOST):
        shifted = point - correction
        values, vectors = np.linalg.eigh(shifted)
        inner = (vectors * np.maximum(values, 0)) @ vectors.T
        correction = inner - shifted
        following = inner.copy()
        np.fill_diagonal(following, 1)
        settled = float(np.max(np.abs(following - point))) < _ROUNDING
        point = following
        if settled:
            # The last step set the diagonal, which can leave an eigenvalue just below zero: scale instead.
            scale = np.sqrt(np.diag(inner))
            return _tidy(inner / scale[:, np.newaxis] / scale)
    raise RiskInputError(name, "has no nearest correlation within reach", "estimate it anew")


def _standardised(returns: ArrayLike) -> Floats:
    table = array("returns", returns, ndim=2)
    if len(table) < 2 or not table.shape[1]:  # noqa: PLR2004 - one row has no spread
        raise RiskInputError("returns", f"has shape {table.shape}", "give (T, N) with at least two rows")
    spreads = table.std(axis=0)
    still = spreads <= _ROUNDING * np.abs(table).max(axis=0)
    if np.any(still):
        raise RiskInputError(f"returns[:, {int(np.argmax(still))}]", "do not vary", "leave the asset out")
    return np.asarray((table - table.mean(axis=0)) / spreads)


def _target(sample: Floats, target: Target) -> Floats:
    assets = len(sample)
    if target == "identity" or assets == 1:
        return np.eye(assets)
    if target != "constant":
        raise RiskInputError("target", f"is {target!r}", 'give "identity" or "constant"')
    mean = (float(sample.sum()) - float(np.trace(sample))) / (assets * (assets - 1))
    return np.asarray(np.where(np.eye(assets, dtype=bool), 1.0, mean))


def _symmetric_unit(name: str, matrix: ArrayLike) -> Floats:
    checked = array(name, matrix, ndim=2, least=-1 - _ROUNDING, most=1 + _ROUNDING)
    if checked.shape[0] != checked.shape[1] or not len(checked):
        raise RiskInputError(name, f"has shape {checked.shape}", "give a square matrix")
    if np.any(np.abs(checked - checked.T) > _ROUNDING):
        raise RiskInputError(name, "is not symmetric", "give each pair one correlation")
    if np.any(np.abs(np.diag(checked) - 1) > _ROUNDING):
        raise RiskInputError(name, "has a diagonal that is not 1", "give correlations, not covariances")
    return _tidy(checked)


def _tidy(matrix: Floats) -> Floats:
    """Return the matrix without what rounding did to its symmetry, its diagonal and its limits."""
    tidy = np.clip((matrix + matrix.T) / 2, -1, 1)
    np.fill_diagonal(tidy, 1)
    return np.asarray(tidy)
