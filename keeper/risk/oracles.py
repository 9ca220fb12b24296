"""The oracle guard: one price from several sources, or the reason why there is none that new risk may rest on.

All figures are integers: prices in any one unit (1e-8 USD, say), fractions in parts per million (ppm), times in whole
seconds. So a replay on any machine gives the same verdict. The guard keeps no state: the verdict before is an argument.

The rule, in its order:

1. Of each source its latest observation counts. It is *fresh* while ``age <= heartbeat * (1 + slack)``.
2. The price is the median of the fresh observations, the mean of the middle two if their number is even.
3. At least ``sources_min`` fresh sources must lie within ``agreement_ppm`` of the median, else it is disputed.
4. The step from the price accepted before must be within ``max(cap, c * sigma * sqrt(dt))``, else it has deviated.

Otherwise the price is *frozen*: the last accepted one stays, with its age, nothing may increase risk on it, and what
reduces risk goes on with the interval ``[low, high]``: the last accepted price, widened by what it may have moved
since, and whatever a fresh source says, believed or not. Collateral is valued at ``low`` and debt at ``high``: a
liquidation or a deleveraging then comes early rather than never. Because the interval has the deviating price in it
already, waiting for a confirmation costs no safety; so a deviating median becomes the price only after
``confirmations`` rounds in a row that agree with one another, each observed later than the one before. A quorum alone
does not confirm it: the sources that agree on a glitch in one moment (a shared upstream, one thin pool) seldom do in
several.

Sources of the parts: Maker Median (median of a quorum), Liquity v1 PriceFeed (freezing, deviation between rounds, the
similarity of two oracles), Derive v2 (heartbeats by feed).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from math import isqrt
from typing import NamedTuple

import msgspec

from keeper.core.units import BigInt, Rounding, mul_div
from keeper.risk.inputs import SECONDS_PER_YEAR, integer

PPM = 10**6
"""Parts of a whole in which fractions are given here."""


class GuardParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the guard asks of a price.

    Attributes:
        heartbeat_seconds: How often a source promises to report.
        heartbeat_slack_ppm: How much later it may be, as a share of the heartbeat.
        ahead_seconds: How far a source's clock may be ahead of ours; what is further ahead is not believed.
        sources_min: How many fresh sources must agree.
        agreement_ppm: How far from the median a source may be that agrees (Liquity v1: 5 %).
        deviation_cap_ppm: The step that is always allowed.
        deviation_sigmas_ppm: ``c``: how many standard deviations a step may be, 1e-6.
        vol_annual_ppm: ``sigma``: the volatility of a year of 365 days.
        confirmations: The rounds in a row after which a deviating price is accepted, the first included.

    Raises:
        RiskInputError: one is out of range.
    """

    heartbeat_seconds: int
    heartbeat_slack_ppm: int = 100_000
    ahead_seconds: int = 0
    sources_min: int = 1
    agreement_ppm: int = 50_000
    deviation_cap_ppm: int = 100_000
    deviation_sigmas_ppm: int = 5 * PPM
    vol_annual_ppm: int = 800_000
    confirmations: int = 3

    def __post_init__(self) -> None:
        integer("heartbeat_seconds", self.heartbeat_seconds, least=1)
        integer("heartbeat_slack_ppm", self.heartbeat_slack_ppm, least=0)
        integer("ahead_seconds", self.ahead_seconds, least=0)
        integer("sources_min", self.sources_min, least=1)
        integer("agreement_ppm", self.agreement_ppm, least=0, most=PPM - 1)
        integer("deviation_cap_ppm", self.deviation_cap_ppm, least=0, most=PPM - 1)
        integer("deviation_sigmas_ppm", self.deviation_sigmas_ppm, least=0)
        integer("vol_annual_ppm", self.vol_annual_ppm, least=0)
        integer("confirmations", self.confirmations, least=2)


class Observation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source said, and when it observed that (not when we heard of it).

    Raises:
        RiskInputError: the price or the time is not an integer.
    """

    source: str
    price: BigInt
    observed_at_seconds: int

    def __post_init__(self) -> None:
        integer("price", self.price)
        integer("observed_at_seconds", self.observed_at_seconds)


class PriceStatus(Enum):
    """Whether a price is one that new risk may rest on, or why not."""

    FRESH = "fresh"
    STALE = "stale"
    """No source has reported in time."""
    DISPUTED = "disputed"
    """Too few sources have, or they differ."""
    DEVIATED = "deviated"
    """They agree on a step that is too large to be believed at once."""
    MISSING = "missing"
    """Nothing was observed."""


class PriceVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The price, whether it is frozen, and why.

    Attributes:
        price: The accepted price; while frozen the last accepted; ``None`` if none ever was.
        status: What became of the observations.
        reason: What was found, with the figures.
        observed_at_seconds: When the price was observed: half of the sources that made it observed it then or later.
        age_seconds: How long ago that was.
        low: The least that the price may be; ``None`` if nothing is known.
        high: The most that it may be.
        candidate_price: A deviating median that waits for confirmation.
        candidate_at_seconds: When that was observed.
        candidate_rounds: The rounds that have agreed on it.
    """

    price: BigInt | None
    status: PriceStatus
    reason: str
    observed_at_seconds: int | None = None
    age_seconds: int | None = None
    low: BigInt | None = None
    high: BigInt | None = None
    candidate_price: BigInt | None = None
    candidate_at_seconds: int = 0
    candidate_rounds: int = 0

    @property
    def usable_for_risk_increase(self) -> bool:
        """Whether a position may be opened, or grow, on this price: only while it is fresh."""
        return self.status is PriceStatus.FRESH

    @property
    def collateral_price(self) -> BigInt | None:
        """What collateral counts for: the price while fresh, the least it may be while frozen."""
        return self.price if self.usable_for_risk_increase else self.low

    @property
    def debt_price(self) -> BigInt | None:
        """What debt counts for: the price while fresh, the most it may be while frozen."""
        return self.price if self.usable_for_risk_increase else self.high


class _Seen(NamedTuple):
    """Each source's latest observation, by whether it is fresh; and who was left out, with the reason."""

    fresh: list[Observation]
    late: list[Observation]
    left_out: list[str]


class _Round(NamedTuple):
    """What the fresh sources agree on: the median, its interval, when it was observed, and by whom."""

    median: int
    low: int
    high: int
    observed_at_seconds: int
    names: str


def guard(
    observations: Iterable[Observation], now_seconds: int, previous: PriceVerdict | None, params: GuardParams
) -> PriceVerdict:
    """Return the verdict on what the sources say now; the module's text has the rule.

    The order of the observations is of no consequence, and the same set of them asked twice confirms nothing twice.
    A price of zero or less, a time that is still to come and a source that contradicts itself are left out and named:
    such an answer is news from outside, no error of ours.

    Args:
        observations: The latest of each source, or more.
        now_seconds: The time of the decision.
        previous: The verdict before; ``None`` at first, when there is no step to guard.
        params: What is asked of a price.

    Raises:
        RiskInputError: the time is not an integer.
    """
    seen = _seen(observations, integer("now_seconds", now_seconds), params)
    if not seen.fresh:
        status = PriceStatus.STALE if seen.late else PriceStatus.MISSING
        reason = "no source is fresh" if seen.late else "nothing usable was observed"
        return _frozen(status, reason, seen, now_seconds, previous, params)
    agreed = _agreed(seen.fresh, params)
    if isinstance(agreed, str):
        return _frozen(PriceStatus.DISPUTED, agreed, seen, now_seconds, previous, params)
    found = f"median {agreed.median} of {agreed.names}"
    if previous is None or previous.price is None or previous.observed_at_seconds is None:
        return _accepted(agreed, f"{found}, the first", seen, now_seconds)
    elapsed_seconds = max(agreed.observed_at_seconds - previous.observed_at_seconds, 0)
    allowed_ppm = step_allowance_ppm(params, elapsed_seconds)
    step = (
        f"{found} is {_percent(_distance_ppm(agreed.median, previous.price))} from {previous.price} of "
        f"{elapsed_seconds} s before, allowed {_percent(allowed_ppm)}"
    )
    if _within(agreed.median, previous.price, allowed_ppm):
        return _accepted(agreed, step, seen, now_seconds)
    rounds, at_seconds = _candidacy(agreed, previous, params)
    step += f", confirmed by {rounds} of {params.confirmations} rounds"
    if rounds >= params.confirmations:
        return _accepted(agreed, step, seen, now_seconds)
    frozen = _frozen(PriceStatus.DEVIATED, step, seen, now_seconds, previous, params)
    return msgspec.structs.replace(
        frozen, candidate_price=BigInt(agreed.median), candidate_at_seconds=at_seconds, candidate_rounds=rounds
    )


def step_allowance_ppm(params: GuardParams, elapsed_seconds: int) -> int:
    """Return the step allowed after so many seconds: ``max(cap, c * sigma * sqrt(dt / year))``, rounded down, ppm.

    Raises:
        RiskInputError: the time is negative.
    """
    integer("elapsed_seconds", elapsed_seconds, least=0)
    product = params.deviation_sigmas_ppm * params.vol_annual_ppm
    return max(params.deviation_cap_ppm, isqrt(product * product * elapsed_seconds // SECONDS_PER_YEAR) // PPM)


def _seen(observations: Iterable[Observation], now_seconds: int, params: GuardParams) -> _Seen:
    by_source: dict[str, list[Observation]] = {}
    for observation in observations:
        by_source.setdefault(observation.source, []).append(observation)
    seen = _Seen([], [], [])
    allowed = params.heartbeat_seconds * (PPM + params.heartbeat_slack_ppm)
    for source in sorted(by_source):
        given = by_source[source]
        at_seconds = max(observation.observed_at_seconds for observation in given)
        latest = [observation for observation in given if observation.observed_at_seconds == at_seconds]
        age_seconds = now_seconds - at_seconds
        if len({observation.price for observation in latest}) > 1:
            seen.left_out.append(f"{source} (contradicts itself)")
        elif latest[0].price <= 0:
            seen.left_out.append(f"{source} (price {latest[0].price})")
        elif -age_seconds > params.ahead_seconds:
            seen.left_out.append(f"{source} ({-age_seconds} s ahead)")
        elif age_seconds * PPM > allowed:
            seen.left_out.append(f"{source} ({age_seconds} s old)")
            seen.late.append(latest[0])
        else:
            seen.fresh.append(latest[0])
    return seen


def _agreed(fresh: Sequence[Observation], params: GuardParams) -> _Round | str:
    """Return what enough sources agree on, or why they do not."""
    if len(fresh) < params.sources_min:
        return f"{len(fresh)} of {params.sources_min} sources are fresh"
    prices = sorted(int(observation.price) for observation in fresh)
    median = (prices[(len(prices) - 1) // 2] + prices[len(prices) // 2]) // 2
    agreeing = [observation for observation in fresh if _within(observation.price, median, params.agreement_ppm)]
    if len(agreeing) < params.sources_min:
        return (
            f"{len(agreeing)} of {params.sources_min} sources are within {_percent(params.agreement_ppm)} "
            f"of the median {median}: {_quoted(fresh)}"
        )
    times = sorted(observation.observed_at_seconds for observation in agreeing)
    apart = [observation for observation in fresh if observation not in agreeing]
    names = ", ".join(observation.source for observation in agreeing)
    return _Round(
        median=median,
        low=min(median, *(int(observation.price) for observation in agreeing)),
        high=max(median, *(int(observation.price) for observation in agreeing)),
        observed_at_seconds=times[(len(times) - 1) // 2],
        names=f"{names} (apart: {_quoted(apart)})" if apart else names,
    )


def _candidacy(agreed: _Round, previous: PriceVerdict, params: GuardParams) -> tuple[int, int]:
    """Return how many rounds in a row have agreed on this deviating median, and when the last was observed."""
    at_seconds = agreed.observed_at_seconds
    if previous.candidate_price is None:
        return 1, at_seconds
    since_seconds = previous.candidate_at_seconds
    allowed_ppm = step_allowance_ppm(params, max(at_seconds - since_seconds, 0))
    if not _within(agreed.median, previous.candidate_price, allowed_ppm):
        return 1, at_seconds
    return previous.candidate_rounds + (at_seconds > since_seconds), max(at_seconds, since_seconds)


def _accepted(agreed: _Round, reason: str, seen: _Seen, now_seconds: int) -> PriceVerdict:
    return PriceVerdict(
        price=BigInt(agreed.median),
        status=PriceStatus.FRESH,
        reason=_with_left_out(reason, seen),
        observed_at_seconds=agreed.observed_at_seconds,
        age_seconds=max(now_seconds - agreed.observed_at_seconds, 0),
        low=BigInt(agreed.low),
        high=BigInt(agreed.high),
    )


def _frozen(
    status: PriceStatus,
    reason: str,
    seen: _Seen,
    now_seconds: int,
    previous: PriceVerdict | None,
    params: GuardParams,
) -> PriceVerdict:
    price = previous.price if previous else None
    at_seconds = previous.observed_at_seconds if previous else None
    age_seconds = None if at_seconds is None else max(now_seconds - at_seconds, 0)
    ends = [int(observation.price) for observation in seen.fresh]
    if price is not None and age_seconds is not None:
        ends += _widened(price, age_seconds, params)
        reason = f"{reason}; the last price accepted is {price}, {age_seconds} s old"
    else:
        for late in seen.late:
            ends += _widened(late.price, now_seconds - late.observed_at_seconds, params)
    return PriceVerdict(
        price=price,
        status=status,
        reason=_with_left_out(reason, seen),
        observed_at_seconds=at_seconds,
        age_seconds=age_seconds,
        low=BigInt(min(ends)) if ends else None,
        high=BigInt(max(ends)) if ends else None,
    )


def _widened(price: int, age_seconds: int, params: GuardParams) -> list[int]:
    """Return the least and the most that a price may have become since."""
    allowed_ppm = step_allowance_ppm(params, age_seconds)
    low = mul_div(price, max(PPM - allowed_ppm, 0), PPM, Rounding.FLOOR)
    return [low, mul_div(price, PPM + allowed_ppm, PPM, Rounding.CEIL)]


def _within(price: int, reference: int, allowed_ppm: int) -> bool:
    return abs(price - reference) * PPM <= allowed_ppm * reference


def _distance_ppm(price: int, reference: int) -> int:
    return abs(price - reference) * PPM // reference


def _percent(ppm: int) -> str:
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"


def _quoted(observations: Iterable[Observation]) -> str:
    return ", ".join(f"{observation.source} {observation.price}" for observation in observations)


def _with_left_out(reason: str, seen: _Seen) -> str:
    return f"{reason}; left out: {', '.join(seen.left_out)}" if seen.left_out else reason
