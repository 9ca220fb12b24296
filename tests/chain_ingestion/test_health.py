"""The order of providers follows what they did of late, without flapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.health import BAND_SECONDS, HealthPolicy, Standing
from tests.chain_ingestion.fakes import JumpClock

POLICY = HealthPolicy(half_life_seconds=30.0, failure_seconds=3.0, lag_seconds=0.1, lag_blocks_max=3)


class Life:
    """A provider's standing, and the time it lives in."""

    def __init__(self) -> None:
        self.clock = JumpClock()
        self.standing = Standing(self.clock, POLICY)

    def steadily(self, seconds: float, times: int = 50) -> Life:
        """Answer once a second, each time after ``seconds``."""
        for _ in range(times):
            self.clock.now += 1.0
            self.standing.took(seconds)
            self.standing.succeeded()
        return self


def test_the_score_is_what_an_answer_takes() -> None:
    """Who answers steadily has its latency as its score."""
    assert Life().steadily(0.2).standing.score == pytest.approx(0.2, rel=0.05)


def test_evidence_fades_by_half_in_a_half_life() -> None:
    """A failure weighs half after a half-life, and nothing in the end."""
    life = Life()
    life.standing.failed()
    assert life.standing.score == pytest.approx(3.0 * 1 / 2)
    life.clock.now += 30.0
    assert life.standing.score == pytest.approx(3.0 * 0.5 / 1.5)
    life.clock.now += 3000.0
    assert life.standing.score == pytest.approx(0)
    assert life.standing.band == 0


def test_one_failure_among_many_answers_moves_nothing() -> None:
    """A provider that answers well and fails once keeps its place; when it fails again it loses it."""
    life = Life().steadily(0.02)
    life.standing.failed()
    assert life.standing.band == 0
    life.standing.failed()
    assert life.standing.band > 0


def test_lag_counts() -> None:
    """Each block that its head is behind costs a provider; beyond the limit it is no place to learn of a head."""
    standing = Life().standing
    standing.lag_blocks = 3
    assert standing.score == pytest.approx(0.3)
    assert not standing.lags
    standing.lag_blocks = 4
    assert standing.lags


def test_a_band_is_left_only_by_a_good_piece() -> None:
    """Scores that waver about the end of a band change nothing."""
    life = Life().steadily(BAND_SECONDS[0] * 0.95)
    assert [life.steadily(seconds).standing.band for seconds in (0.110, 0.095, 0.110, 0.095)] == [0, 0, 0, 0]

    assert life.steadily(0.2).standing.band == 1
    assert life.steadily(0.09).standing.band == 1
    assert life.steadily(0.06, times=100).standing.band == 0


def test_a_long_gap_ends_a_row_of_failures() -> None:
    """Two failures far apart are not two in a row."""
    life = Life()
    life.standing.failed()
    life.clock.now += 31.0
    life.standing.failed()
    assert (life.standing.failures, life.standing.is_up) == (1, True)
    life.standing.failed()
    assert (life.standing.failures, life.standing.is_up) == (2, False)


def test_a_quantile_is_of_recent_latencies() -> None:
    """A high quantile of the last answers; none before the first."""
    life = Life()
    assert life.standing.latency(0.95) is None
    life.steadily(9.0)
    for milliseconds in range(100):
        life.standing.took(milliseconds / 1000)
    assert life.standing.latency(0.95) == pytest.approx(0.036 + 0.060)


@given(st.lists(st.tuples(st.sampled_from(("took", "failed", "wait")), st.floats(0, 1000)), max_size=40))
def test_the_score_is_deterministic_and_bounded(history: list[tuple[str, float]]) -> None:
    """The same history gives the same score, never below zero and never above the worst thing in it."""

    def score() -> float:
        life = Life()
        for what, seconds in history:
            if what == "took":
                life.standing.took(seconds)
            elif what == "failed":
                life.standing.failed()
            else:
                life.clock.now += seconds
        return life.standing.score

    worst = max([POLICY.failure_seconds, *(seconds for what, seconds in history if what == "took")])
    assert 0 <= score() <= worst * 1.000001
    assert score() == score()
