"""What the engine remembers of a venue's prices: whether each is to be believed, how they move, and how far to reckon.

Prices are looked at at each head, as the venue itself knows them. A look asks the oracle guard of
:mod:`keeper.risk.oracles`; at fixed distances of time it takes a sample, from which volatilities and correlations come
(:mod:`keeper.risk.volatility`). What a reorganisation takes back is not forgotten: a price that was once seen was
possible, and the samples that follow outweigh it.

Two engines keep the same bytes on any two machines: the floats that are kept are made of sums, products, quotients and
square roots, which are rounded alike everywhere; what has an exponential in it is kept as a whole number of ppm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from keeper.core.ids import Address, to_hex
from keeper.core.risk import PPM, AssetPrice
from keeper.core.runconfig import RiskSpec
from keeper.core.units import BigInt
from keeper.engine.forecast import garch_after, garch_over_horizon, stress_after, stress_factor, usual_variance
from keeper.risk.inputs import SECONDS_PER_YEAR
from keeper.risk.oracles import GuardParams, Observation, PriceVerdict, guard
from keeper.risk.volatility import decayed

OWN_ORACLE = "the venue's oracle"


class AssetTrack(msgspec.Struct, kw_only=True):
    """One asset of a venue.

    Attributes:
        asset: The asset.
        verdict: The guard's, at the last look.
        sequence: The fact that told the price that is believed.
        sample: The price at the last sample, ``None`` before the first.
        variance: Of relative moves, for each second.
        samples: How many returns the variance is made of.
        move_ppm: How far its price is reckoned to move, 1e-6 of it.
        garch_variance: Of the sample to come, for each second, by the GARCH recursion; unset while there is none.
        stress_ppm: The filtered probability of stress at the last sample, 1e-6; unset while there is none.
    """

    asset: Address
    verdict: PriceVerdict
    sequence: int
    sample: BigInt | None = None
    variance: float = 0.0
    samples: int = 0
    move_ppm: int = 0
    garch_variance: float | msgspec.UnsetType = msgspec.UNSET
    stress_ppm: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def has_moved(self) -> bool:
        """Whether it was ever seen to move: one that is fixed by its oracle never is."""
        return self.variance > 0.0 or (self.sample is not None and self.verdict.price != self.sample)

    @property
    def doubt(self) -> str | None:
        """Why its price is not to be believed, ``None`` when it is."""
        if self.verdict.usable_for_risk_increase:
            return None
        return f"the price of {to_hex(self.asset)} is {self.verdict.status.value}: {self.verdict.reason}"


class Covariance(msgspec.Struct, kw_only=True):
    """How two assets move together, for each second: from samples that both have."""

    one: Address
    other: Address
    value: float


class VenueMarket(msgspec.Struct, kw_only=True):
    """All assets of a venue, in the order in which they were listed. Times are those of blocks, in seconds."""

    venue: str
    looked_at: int = 0
    sampled_at: int = 0
    tracks: list[AssetTrack] = []
    covariances: list[Covariance] = []

    def by_asset(self) -> dict[Address, AssetTrack]:
        """Return the tracks by asset."""
        return {track.asset: track for track in self.tracks}

    def look(self, prices: Iterable[AssetPrice], now_seconds: int, sequence: int, spec: RiskSpec) -> None:
        """Take in what the venue says of its prices at a head.

        Args:
            prices: Of every asset.
            now_seconds: The head's timestamp. One that is not later than the last look's (a reorganisation, a second
                block of the same second) takes no sample.
            sequence: Of the fact that told the head.
            spec: The operator's parameters.
        """
        known = self.by_asset()
        for price in prices:
            track = known.get(price.asset)
            verdict = _judged(price, now_seconds, None if track is None else track.verdict, spec)
            if track is None:
                self.tracks.append(AssetTrack(asset=price.asset, verdict=verdict, sequence=sequence))
                continue
            if verdict.price != track.verdict.price:
                track.sequence = sequence
            track.verdict = verdict
        if now_seconds - self.sampled_at >= spec.sample_seconds:
            self._sample(now_seconds, spec)
        elapsed_seconds = max(now_seconds - self.looked_at, 0) if self.looked_at else 0
        for track in self.tracks:
            track.move_ppm = _move_ppm(track, max(now_seconds - self.sampled_at, 0), elapsed_seconds, spec)
        self.looked_at = max(now_seconds, self.looked_at)

    def vols_annual(self, spec: RiskSpec) -> dict[Address, float]:
        """Return the volatility in a year that each asset was reckoned with at the last look."""
        since_sample_seconds = max(self.looked_at - self.sampled_at, 0)
        return {track.asset: _vol_annual(track, since_sample_seconds, spec) for track in self.tracks}

    def correlations(self) -> dict[tuple[Address, Address], float]:
        """Return how assets move together, by the lesser and the greater address; nothing of what cannot be told."""
        known = self.by_asset()
        found: dict[tuple[Address, Address], float] = {}
        for each in self.covariances:
            scale = math.sqrt(known[each.one].variance * known[each.other].variance)
            if scale:
                found[each.one, each.other] = min(max(each.value / scale, -1.0), 1.0)
        return found

    def _sample(self, now_seconds: int, spec: RiskSpec) -> None:
        """Let each asset's return since the last sample into the averages, and the products of all pairs."""
        seconds = max(now_seconds - self.sampled_at, 1)
        returns = {track.asset: each for track in self.tracks if (each := _return(track)) is not None}
        weight = spec.decay
        for track in self.tracks:
            if track.asset in returns:
                square = returns[track.asset] ** 2 / seconds
                track.variance = weight * track.variance + (1.0 - weight) * square if track.samples else square
                track.samples += 1
                _foresee(track, returns[track.asset] / math.sqrt(seconds), spec)
            if track.verdict.usable_for_risk_increase:
                track.sample = track.verdict.price
        self._sample_pairs(returns, seconds, weight)
        self.sampled_at = now_seconds

    def _sample_pairs(self, returns: dict[Address, float], seconds: int, weight: float) -> None:
        pairs = {(each.one, each.other): each for each in self.covariances}
        assets = sorted(returns)
        for place, one in enumerate(assets):
            for other in assets[place + 1 :]:
                product = returns[one] * returns[other] / seconds
                known = pairs.get((one, other))
                if known is None:
                    self.covariances.append(Covariance(one=one, other=other, value=product))
                else:
                    known.value = weight * known.value + (1.0 - weight) * product


def _judged(price: AssetPrice, now_seconds: int, previous: PriceVerdict | None, spec: RiskSpec) -> PriceVerdict:
    told = (
        []
        if price.price is None
        else [Observation(source=OWN_ORACLE, price=price.price, observed_at_seconds=now_seconds)]
    )
    params = GuardParams(
        heartbeat_seconds=spec.heartbeat_seconds,
        deviation_cap_ppm=round(spec.step_max * PPM),
        vol_annual_ppm=round(spec.vols_annual.get(to_hex(price.asset), spec.vol_annual) * PPM),
        confirmations=spec.confirmations,
    )
    return guard(told, now_seconds, previous, params)


def _return(track: AssetTrack) -> float | None:
    """Return the relative move since the last sample, ``None`` without two prices to be believed."""
    if not track.sample or track.verdict.price is None or not track.verdict.usable_for_risk_increase:
        return None
    return (int(track.verdict.price) - int(track.sample)) / int(track.sample)


def _foresee(track: AssetTrack, pace: float, spec: RiskSpec) -> None:
    """Step what is expected of a price once for a sample."""
    usual = usual_variance(track.asset, spec)
    track.garch_variance = garch_after(track.garch_variance, pace, usual, spec)
    track.stress_ppm = stress_after(track.stress_ppm, pace, usual, spec)


def _move_ppm(track: AssetTrack, since_sample_seconds: int, elapsed_seconds: int, spec: RiskSpec) -> int:
    """Return how far a price is reckoned to move: it rises at once and comes down slowly.

    A price that is not believed is reckoned to move by the greatest move there is. Likely stress makes a move greater,
    that of the static model too.
    """
    if track.doubt is not None:
        target = spec.move_max
    elif spec.model == "static":
        target = spec.move
    else:
        horizon = _vol_annual(track, since_sample_seconds, spec) * math.sqrt(spec.horizon_seconds / SECONDS_PER_YEAR)
        target = spec.safety_factor * spec.quantile * horizon
    target = min(max(target * stress_factor(track.stress_ppm, spec), spec.move_min), spec.move_max)
    in_force = decayed(track.move_ppm / PPM, target, elapsed_seconds, spec.half_life_seconds)
    return round(float(in_force) * PPM)


def _vol_annual(track: AssetTrack, since_sample_seconds: int, spec: RiskSpec) -> float:
    """Return an asset's volatility, the greater of two: of its samples, and of the forecast over the horizon.

    The move since the last sample is let into either if that makes it more.
    """
    variance, named = track.variance, spec.vols_annual.get(to_hex(track.asset))
    running, pace = _return(track), None
    if running is not None and track.samples:
        seconds = max(since_sample_seconds, spec.sample_seconds)
        variance = max(variance, spec.decay * variance + (1.0 - spec.decay) * (running**2 / seconds))
        pace = running / math.sqrt(seconds)
    expected = garch_over_horizon(track.garch_variance, pace, usual_variance(track.asset, spec), spec)
    vol = math.sqrt(max(variance, expected) * SECONDS_PER_YEAR)
    if track.samples < spec.samples_min:
        return max(vol, named if named is not None else spec.vol_annual)
    return vol if named is None else max(vol, named)
