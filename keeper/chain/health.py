"""How one provider stands: what it did of late, fading with time, and what that means for the order they are asked in.

The score is the time that a good answer of the provider is expected to take: its latency, and for each failure what
a failure costs us. Evidence fades by half in a half-life, so that a provider that was passed over gets another chance
without a probe of its own. What is compared is not the score but its *band*, a band is left only when the score is a
good piece outside of it, and within one band the operator's order holds: two providers that answer about as fast as
each other never change places back and forth.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from keeper.core.ports import Clock

BAND_SECONDS = (0.1, 0.3, 1.0, 3.0)
"""The upper ends of the bands that scores fall into; what is above the last is the worst band."""
BAND_SLACK = 1.25
"""A score must be this factor outside of its band to leave it."""
SAMPLES = 64
"""Latencies that a quantile is taken of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """When a provider is passed over, and what its behaviour costs it.

    Attributes:
        failures_max: This many failures in a row and it cools down.
        cool_down_seconds: For this long.
        quarantine_seconds: How long a provider that was caught lying is passed over.
        half_life_seconds: After this long, evidence counts half.
        failure_seconds: What a failure adds to the score, in seconds of latency.
        lag_seconds: What a block that its head lags behind adds.
        lag_blocks_max: A provider whose head lags by more is asked after all that do not.
    """

    failures_max: int = 2
    cool_down_seconds: float = 10.0
    quarantine_seconds: float = 600.0
    half_life_seconds: float = 30.0
    failure_seconds: float = 3.0
    lag_seconds: float = 0.1
    lag_blocks_max: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """How a provider stands.

    Attributes:
        name: Scheme, host and port of its URL.
        up: False while it cools down, is silent or is in quarantine.
        failures: In a row.
        score: Seconds that a good answer is expected to take; the least is asked first.
        lag_blocks: How far its head was behind the others' when they were last compared.
        quarantine: Why it is in quarantine; ``None`` when it is not.
    """

    name: str
    up: bool
    failures: int
    score: float
    lag_blocks: int
    quarantine: str | None


class Standing:
    """What is known of one provider.

    Args:
        clock: Lets evidence fade.
        policy: What behaviour costs.
    """

    def __init__(self, clock: Clock, policy: HealthPolicy) -> None:
        self.failures = 0
        self.lag_blocks = 0
        self._unanswered = 0
        self._clock = clock
        self._policy = policy
        self._reason = ""
        self._quarantined_until = self._down_until = 0.0
        self._faded_at = self._failed_at = clock.monotonic()
        self._weight = self._seconds = 0.0
        self._latencies: deque[float] = deque(maxlen=SAMPLES)
        self._band = 0

    @property
    def quarantine(self) -> str | None:
        """Why it is in quarantine; ``None`` when it is not."""
        return self._reason if self._clock.monotonic() < self._quarantined_until else None

    @property
    def is_up(self) -> bool:
        """Whether it neither cools down nor is in quarantine."""
        return self.quarantine is None and self.down_seconds == 0

    @property
    def is_silent(self) -> bool:
        """Whether it has answered nothing since too many failures: a cool-down that ends is no sign of life."""
        return self._unanswered >= self._policy.failures_max

    @property
    def lags(self) -> bool:
        """Whether its head is too far behind the others' to learn of a new block from it."""
        return self.lag_blocks > self._policy.lag_blocks_max

    @property
    def down_seconds(self) -> float:
        """How long it still cools down."""
        return max(0.0, self._down_until - self._clock.monotonic())

    @property
    def score(self) -> float:
        """Seconds that a good answer is expected to take. One good answer is taken on credit."""
        self._fade()
        return self._seconds / (self._weight + 1) + self.lag_blocks * self._policy.lag_seconds

    @property
    def band(self) -> int:
        """Which band the score is in, 0 the best."""
        score = self.score
        while self._band < len(BAND_SECONDS) and score > BAND_SECONDS[self._band] * BAND_SLACK:
            self._band += 1
        while self._band > 0 and score < BAND_SECONDS[self._band - 1] / BAND_SLACK:
            self._band -= 1
        return self._band

    def latency(self, quantile: float) -> float | None:
        """Return a quantile of the recent latencies in seconds; ``None`` before the first."""
        if not self._latencies:
            return None
        return sorted(self._latencies)[min(len(self._latencies) - 1, int(quantile * len(self._latencies)))]

    def took(self, seconds: float) -> None:
        """Remember how long an answer took, or for how long there was none before we gave it up."""
        self._latencies.append(seconds)
        self._add(seconds)

    def answered(self) -> None:
        """End a silence: it gave an answer, whichever."""
        self._unanswered = 0

    def succeeded(self) -> None:
        """End a row of failures: an operation came to a good end."""
        self.failures = 0
        self._down_until = 0.0

    def failed(self) -> None:
        """Count a failure; too many in a row begin a cool-down."""
        now = self._clock.monotonic()
        in_a_row = now - self._failed_at <= self._policy.half_life_seconds
        self.failures = self.failures + 1 if in_a_row else 1
        self._unanswered += 1
        self._failed_at = now
        self._add(self._policy.failure_seconds)
        if self.failures >= self._policy.failures_max:
            self._down_until = now + self._policy.cool_down_seconds

    def put_in_quarantine(self, reason: str) -> bool:
        """Begin a quarantine, or begin it anew; tell whether it is a new one."""
        new = self.quarantine is None
        self._reason = reason
        self._quarantined_until = self._clock.monotonic() + self._policy.quarantine_seconds
        return new

    def _add(self, seconds: float) -> None:
        self._fade()
        self._weight += 1
        self._seconds += seconds

    def _fade(self) -> None:
        now = self._clock.monotonic()
        kept = 0.5 ** ((now - self._faded_at) / self._policy.half_life_seconds)
        self._faded_at = now
        self._weight *= kept
        self._seconds *= kept
