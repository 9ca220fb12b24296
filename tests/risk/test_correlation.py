"""Correlation: the recorded coins', the weights of the papers, and matrices that can be used."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf  # type: ignore[import-untyped] # it carries no types

from keeper.core.errors import RiskInputError
from keeper.lab.stress.closes import daily_closes
from keeper.risk.correlation import (
    Target,
    ledoit_wolf_weight,
    nearest_psd,
    require_psd,
    sample_correlation,
    shrunk,
)
from keeper.risk.inputs import Floats

SEEDS = st.integers(0, 2**32 - 1)
BROKEN = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
ONE_FACTOR = np.array([0.03, 0.02, 0.05, 0.01])


def returns_of(seed: int, days: int = 60, assets: int = 4) -> Floats:
    """Return correlated returns of assets, each driven more by what they have in common than the one before."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((days, 1)) * np.linspace(0, 2, assets)
    return np.asarray((common + rng.standard_normal((days, assets))) * np.resize(ONE_FACTOR, assets))


def paper_weight(table: Floats) -> float:
    """Return Ledoit and Wolf's weight of the constant correlation, summed entry by entry as their appendix B has it."""
    scores = (table - table.mean(axis=0)) / table.std(axis=0)
    days, assets = scores.shape
    sample = [[float(np.mean(scores[:, i] * scores[:, j])) for j in range(assets)] for i in range(assets)]
    pairs = [(i, j) for i in range(assets) for j in range(assets)]
    mean = sum(sample[i][j] for i, j in pairs if i < j) * 2 / (assets * (assets - 1))
    pi = {(i, j): np.mean((scores[:, i] * scores[:, j] - sample[i][j]) ** 2) for i, j in pairs}
    rho = sum(pi[i, i] for i in range(assets))
    for i, j in pairs:
        if i != j:
            own, pair = scores[:, i] ** 2 - 1, scores[:, j] ** 2 - 1
            product = scores[:, i] * scores[:, j] - sample[i][j]
            rho += mean / 2 * (np.mean(own * product) + np.mean(pair * product))
    gamma = sum((mean - sample[i][j]) ** 2 for i, j in pairs if i != j)
    return float(np.clip((sum(pi.values()) - rho) / gamma / days, 0, 1))


def test_the_recorded_coins_move_together() -> None:
    """The daily log returns of bitcoin and ether, 2017 to 2026, correlate by 0.7967."""
    closes = daily_closes()
    table = np.diff(np.log(np.column_stack((closes.btc, closes.eth))), axis=0)

    assert sample_correlation(table)[0, 1] == pytest.approx(0.7967, abs=5e-5)
    assert sample_correlation(table) == pytest.approx(np.corrcoef(table.T), rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_weight_of_the_identity_is_scikit_learns(seed: int) -> None:
    """Ledoit and Wolf (2004, JMVA): of standardised returns scikit-learn takes the same weight."""
    table = returns_of(seed)
    scores = (table - table.mean(axis=0)) / table.std(axis=0)
    matrix, weight = ledoit_wolf(scores, assume_centered=True)

    assert ledoit_wolf_weight(table) == pytest.approx(weight, rel=1e-9)
    assert shrunk(sample_correlation(table), weight) == pytest.approx(matrix, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_weight_of_the_constant_correlation_is_the_papers(seed: int) -> None:
    """Ledoit and Wolf (2004, JPM), appendix B: the weight is that of the sums over single entries."""
    table = returns_of(seed, days=250, assets=6)

    assert 0 < ledoit_wolf_weight(table, "constant") < 1
    assert ledoit_wolf_weight(table, "constant") == pytest.approx(paper_weight(table), rel=1e-9)


def test_two_assets_are_their_own_constant_correlation() -> None:
    """Where the target is the sample there is nothing to shrink."""
    table = returns_of(4, assets=2)

    assert ledoit_wolf_weight(table, "constant") == 0
    assert shrunk(sample_correlation(table), 1.0, "constant") == pytest.approx(sample_correlation(table))


@pytest.mark.slow
@given(SEEDS, st.floats(0, 1), st.sampled_from(["identity", "constant"]))
def test_what_is_shrunk_can_be_used(seed: int, weight: float, target: Target) -> None:
    """A sample of fewer days than assets, shrunk by any weight, is a correlation."""
    sample = sample_correlation(returns_of(seed, days=5, assets=8))
    mixed = require_psd("mixed", shrunk(sample, weight, target))

    assert np.linalg.eigvalsh(mixed)[0] >= (1 - weight) * np.linalg.eigvalsh(sample)[0] - 1e-12
    assert 0 <= ledoit_wolf_weight(returns_of(seed), target) <= 1


def test_full_weight_is_the_target() -> None:
    """All weight on the identity forgets every correlation; on the constant it keeps their mean."""
    sample = sample_correlation(returns_of(9))
    mean = (sample.sum() - 4) / 12

    assert np.array_equal(shrunk(sample, 1.0), np.eye(4))
    assert np.array_equal(shrunk(sample, 0.0), sample)
    assert shrunk(sample, 1.0, "constant")[0, 1:] == pytest.approx([mean] * 3)


def test_a_negative_eigenvalue_is_named() -> None:
    """Higham's example has the eigenvalue 1 - sqrt(2), and the message says so."""
    with pytest.raises(RiskInputError, match=rf"^rho: has the eigenvalue {1 - math.sqrt(2):.6g}"):
        require_psd("rho", BROKEN)


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        ([[1.0, 0.5], [0.4, 1.0]], "not symmetric"),
        ([[1.0, 0.5], [0.5, 0.9]], "diagonal"),
        ([[1.0, 1.2], [1.2, 1.0]], r"rho\[0\]\[1\]: is 1.2"),
        ([[1.0, 0.5, 0.1], [0.5, 1.0, 0.1]], "has shape"),
        ([[1.0, math.nan], [math.nan, 1.0]], "is nan"),
    ],
)
def test_what_is_no_correlation_is_refused(matrix: list[list[float]], complaint: str) -> None:
    """Asymmetry, a wrong diagonal, entries beyond 1, wrong shapes and holes are refused."""
    with pytest.raises(RiskInputError, match=complaint):
        require_psd("rho", matrix)


def test_perfect_correlation_is_allowed() -> None:
    """Two names of one asset have an eigenvalue of nothing, which is no less than nothing."""
    assert np.array_equal(require_psd("rho", np.ones((3, 3))), np.ones((3, 3)))


def test_the_nearest_correlation_is_highams() -> None:
    """Higham (2002), section 4: of his 3 by 3 example the nearest has 0.7607 and 0.1573."""
    mended = nearest_psd("rho", BROKEN, distance_most=0.3)

    assert mended[0] == pytest.approx([1, 0.7607, 0.1573], abs=5e-5)
    assert np.array_equal(require_psd("rho", mended), mended)


def test_only_a_small_mend_is_made() -> None:
    """A matrix hardly broken is mended, a sound one is kept, and one far off is refused."""
    # The third correlation lies 0.001 beyond what the first two allow.
    most = 0.9 * 0.9 - (1 - 0.81) - 0.001
    hardly = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, most], [0.9, most, 1.0]])
    mended = nearest_psd("rho", hardly)

    assert np.linalg.eigvalsh(hardly)[0] < 0 <= np.linalg.eigvalsh(mended)[0] + 1e-12
    assert mended == pytest.approx(hardly, abs=1e-3)
    assert np.array_equal(nearest_psd("rho", np.eye(3)), np.eye(3))
    with pytest.raises(RiskInputError, match="away from any correlation"):
        nearest_psd("rho", BROKEN)


def test_histories_without_movement_are_refused() -> None:
    """One day, or an asset that stands still, has no correlation."""
    with pytest.raises(RiskInputError, match="at least two rows"):
        sample_correlation([[0.1, 0.2]])
    with pytest.raises(RiskInputError, match=r"returns\[:, 1\]: do not vary"):
        sample_correlation([[0.1, 0.2], [0.2, 0.2], [0.3, 0.2]])
    with pytest.raises(RiskInputError, match="weight"):
        shrunk(np.eye(2), 1.1)
    with pytest.raises(RiskInputError, match="target"):
        shrunk(np.eye(2), 0.5, "mean")  # type: ignore[arg-type] # a name nobody knows
