"""The second opinion: at each head, of every account that the reckoned-with moves may hurt.

A ledger names who is near (by the distance index, at prices that have moved); each of these is assessed by its margin's
breakdown, and the rest survives the moves by that same bound. An opinion that changes is a decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np

from keeper.core.codec import encoder
from keeper.core.decisions import RiskHealthChanged
from keeper.core.ids import Address, Hash32
from keeper.core.margin import Bucket
from keeper.core.risk import PPM, RiskComponent, RiskHealth, RiskStatus
from keeper.core.runconfig import RiskSpec
from keeper.core.units import BaseAmount, BigInt, Wad
from keeper.core.venue import AccountMargin, Ledger, Status
from keeper.engine.health import AccountKey
from keeper.engine.market import AssetTrack, VenueMarket
from keeper.risk.inputs import SECONDS_PER_YEAR
from keeper.risk.opinion import joint_losses, loss_beyond_collateral, worst_losses
from keeper.risk.passage import liquidation_probability

NO_PARTS = "what moves its margin is not told"
FARTHEST_PPM = 950_000
"""A price stays positive, however far its move is enlarged."""
ROUNDING_PPM = 1
"""By how much more the screen lets prices move than is assessed, because losses are rounded up."""


class RiskMap:
    """What is remembered of each venue's prices, and the last opinion of each account that is not safe."""

    def __init__(self, markets: Iterable[VenueMarket] = (), opinions: Iterable[RiskHealth] = ()) -> None:
        self.markets: dict[str, VenueMarket] = {market.venue: market for market in markets}
        self.opinions: dict[AccountKey, RiskHealth] = {(each.venue, each.account): each for each in opinions}

    def keep(self, venues: Iterable[str]) -> None:
        """Forget all that is known of other venues: they have no model of risk any more."""
        kept = set(venues)
        self.markets = {name: market for name, market in self.markets.items() if name in kept}
        self.opinions = {key: opinion for key, opinion in self.opinions.items() if key[0] in kept}

    def look(self, ledger: Ledger, now_seconds: int, sequence: int, spec: RiskSpec) -> None:
        """Take in the venue's prices at a head."""
        market = self.markets.setdefault(ledger.name, VenueMarket(venue=ledger.name))
        market.look(ledger.asset_prices(), now_seconds, sequence, spec)

    def assess(
        self, ledger: Ledger, doubts: dict[AccountKey, AccountMargin], block_number: int, spec: RiskSpec
    ) -> list[RiskHealthChanged]:
        """Form an opinion of whoever is near, and of whoever was; return what changed, in order of account.

        Args:
            ledger: The venue, at its head.
            doubts: Accounts that are not healthy by the engine's own map: what is unknown there is unknown here.
            block_number: The head's.
            spec: The operator's parameters.
        """
        assessor = Assessor(ledger, self.markets[ledger.name], spec)
        known = {account for venue, account in self.opinions if venue == ledger.name}
        accounts = sorted({*assessor.near(), *known})
        changes: list[RiskHealthChanged] = []
        for opinion in assessor.opinions(accounts, doubts):
            key = (ledger.name, opinion.account)
            before = self.opinions.get(key)
            previous = RiskStatus.SAFE if before is None else before.status
            if opinion.status is RiskStatus.SAFE:
                self.opinions.pop(key, None)
            else:
                self.opinions[key] = opinion
            if opinion.status is not previous:
                changes.append(RiskHealthChanged(opinion, previous.value, block_number))
        return changes


class _Assessed(NamedTuple):
    """An opinion without the figures that are worked out for all accounts at once; they need the volatility."""

    opinion: RiskHealth
    vol: float = 0.0


class Assessor:
    """Forms opinions of one venue's accounts at its head; it changes nothing."""

    def __init__(self, ledger: Ledger, market: VenueMarket, spec: RiskSpec) -> None:
        self._ledger = ledger
        self._market = market
        self._spec = spec
        self._tracks = market.by_asset()
        self._correlations = market.correlations() if spec.model == "portfolio" else {}
        self._params = Hash32(blake2b(encoder().encode(spec), digest_size=32).digest())

    def near(self) -> tuple[Address, ...]:
        """Return every account that the moves, enlarged by the warning factor, may put past its line."""
        enlarged = {asset: (self._enlarged(asset) + ROUNDING_PPM) / PPM for asset in self._tracks}
        return self._ledger.near(lambda asset: enlarged.get(asset, 0.0))

    def opinions(self, accounts: Iterable[Address], doubts: Mapping[AccountKey, AccountMargin]) -> list[RiskHealth]:
        """Return the opinion of each account, in that order."""
        found = [self._assessed(account, doubts) for account in accounts]
        if not found:
            return []
        vols = np.array([each.vol for each in found])
        health = np.array([_ratio(each.opinion.health_wad) for each in found])
        breach = liquidation_probability(health, vols, SECONDS_PER_YEAR)
        beyond = self._losses_expected(found)
        return [
            msgspec.structs.replace(
                each.opinion,
                breach_ppm=round(float(breach[place]) * PPM),
                loss_expected_base=beyond.get(each.opinion.account, BaseAmount(0)),
            )
            if each.opinion.components
            else each.opinion
            for place, each in enumerate(found)
        ]

    def _losses_expected(self, found: Iterable[_Assessed]) -> dict[Address, BaseAmount]:
        """Return what each of those that are called, or past their line, is expected to owe beyond its collateral."""
        near = [each for each in found if each.opinion.status in (RiskStatus.CALL, RiskStatus.BREACHED)]
        margins = [self._ledger.margin(each.opinion.account) for each in near]
        beyond = loss_beyond_collateral(
            np.array([float(margin.collateral_base) for margin in margins]),
            np.array([float(margin.debt_base) for margin in margins]),
            np.array([each.vol for each in near]),
        )
        return {margin.account: BaseAmount(round(loss)) for margin, loss in zip(margins, beyond.tolist(), strict=True)}

    def _assessed(self, account: Address, doubts: Mapping[AccountKey, AccountMargin]) -> _Assessed:
        known = doubts.get((self._ledger.name, account))
        if not self._ledger.owes(account):
            return _Assessed(self._opinion(account, RiskStatus.SAFE))
        if known is not None and known.health.status is Status.UNKNOWN:
            return _Assessed(self._opinion(account, RiskStatus.UNKNOWN, known.health.reason))
        breakdown = self._ledger.breakdown(account)
        if breakdown.unknown is not None:
            return _Assessed(self._opinion(account, RiskStatus.UNKNOWN, breakdown.unknown))
        if not any(line.exposure for bucket in breakdown.buckets for line in bucket.lines):
            return _Assessed(self._opinion(account, RiskStatus.UNKNOWN, NO_PARTS))
        return self._weighed(account, breakdown.buckets, breached=known is not None)

    def _doubt(self, components: Iterable[RiskComponent]) -> str | None:
        """Return why a price is not believed on which an account depends."""
        tracks = (self._tracks.get(each.asset) for each in components)
        return next((track.doubt for track in tracks if track is not None and track.doubt is not None), None)

    def _weighed(self, account: Address, buckets: Iterable[Bucket], *, breached: bool) -> _Assessed:
        weighed = [(bucket, self._components(bucket)) for bucket in buckets if bucket.requirement]
        if not weighed:
            return _Assessed(self._opinion(account, RiskStatus.SAFE))
        bucket, components = min(weighed, key=_stressed_surplus)
        surplus, need = bucket.surplus, bucket.requirement
        loss = sum(int(each.loss) for each in components)
        status = RiskStatus.BREACHED if breached else self._status(surplus, loss, components)
        doubt = self._doubt(components)
        if doubt is not None and status is not RiskStatus.SAFE:
            return _Assessed(self._opinion(account, RiskStatus.UNKNOWN, doubt))
        opinion = msgspec.structs.replace(
            self._opinion(account, status),
            health_wad=Wad(max(bucket.equity, 0) * Wad.ONE // need),
            stressed_wad=Wad(max(need + surplus - loss, 0) * Wad.ONE // need),
            surplus=BigInt(surplus),
            loss=BigInt(loss),
            bucket=bucket.name,
            components=components,
        )
        spread = loss / (max(bucket.equity, 1) * self._spec.safety_factor * self._spec.quantile)
        return _Assessed(opinion, spread)

    def _components(self, bucket: Bucket) -> tuple[RiskComponent, ...]:
        exposures: dict[Address, int] = {}
        for line in bucket.lines:
            if line.asset is not None and line.exposure:
                exposures[line.asset] = exposures.get(line.asset, 0) + int(line.exposure)
        moves = {asset: track.move_ppm if (track := self._track(asset)) else 0 for asset in exposures}
        losses = self._losses(exposures, moves)
        return tuple(
            RiskComponent(
                asset=asset,
                exposure=BigInt(held),
                move_ppm=moves[asset],
                loss=BigInt(losses[asset]),
                sequence=0 if (track := self._track(asset)) is None else track.sequence,
            )
            for asset, held in sorted(exposures.items())
        )

    def _losses(self, exposures: Mapping[Address, int], moves_ppm: Mapping[Address, int]) -> dict[Address, int]:
        if self._spec.model == "portfolio":
            return joint_losses(exposures, moves_ppm, self._correlation)
        return worst_losses(exposures, moves_ppm)

    def _correlation(self, one: Address, other: Address) -> float | None:
        return self._correlations.get((min(one, other), max(one, other)))

    def _enlarged(self, asset: Address) -> int:
        """Return the move that makes the difference between safe and warned, 1e-6."""
        track = self._track(asset)
        return 0 if track is None else min(round(track.move_ppm * self._spec.warning_factor), FARTHEST_PPM)

    def _track(self, asset: Address) -> AssetTrack | None:
        """Return what is remembered of an asset; ``None`` for one that is the unit itself and does not move."""
        return self._tracks.get(asset)

    def _status(self, surplus: int, loss: int, components: Iterable[RiskComponent]) -> RiskStatus:
        if surplus < 0:
            return RiskStatus.BREACHED
        if loss > surplus:
            return RiskStatus.CALL
        exposures = {each.asset: int(each.exposure) for each in components}
        enlarged = self._losses(exposures, {asset: self._enlarged(asset) for asset in exposures})
        return RiskStatus.WARNING if sum(enlarged.values()) > surplus else RiskStatus.SAFE

    def _opinion(self, account: Address, status: RiskStatus, reason: str | None = None) -> RiskHealth:
        return RiskHealth(
            venue=self._ledger.name,
            account=account,
            status=status,
            reason=reason,
            health_wad=None,
            stressed_wad=None,
            surplus=BigInt(0),
            loss=BigInt(0),
            breach_ppm=0,
            loss_expected_base=BaseAmount(0),
            bucket="",
            model=self._spec.model,
            params=self._params,
            components=(),
        )


def _stressed_surplus(weighed: tuple[Bucket, tuple[RiskComponent, ...]]) -> tuple[int, str]:
    """Order buckets by what the moves leave of each for what it has to secure."""
    bucket, components = weighed
    left = bucket.surplus - sum(int(each.loss) for each in components)
    return (left * 10**36 // bucket.requirement, bucket.name)


def _ratio(health: Wad | None) -> float:
    return 1.0 if health is None else int(health) / Wad.ONE
