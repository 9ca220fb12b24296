"""What only the engine's state tells: prices, distances and bad debt, looked at after each head of a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, BigInt, Wad
from keeper.core.venue import AccountMargin, Status
from keeper.engine.step import Engine
from keeper.report.explaining import margin_held
from keeper.report.incident import BadDebtPath, BadDebtPoint, DistancePoint, PricePath, PricePoint
from keeper.report.model import Moment
from keeper.report.survey import Subject


class Shortfall(NamedTuple):
    """What the accounts of a venue owe beyond their collateral, and how many do."""

    base: int
    accounts: int


class Samples:
    """Looks at the engine.

    Args:
        traced: The accounts whose distance is kept.
        stride: Every how many heads prices and distances are; bad debt is looked at at each.
    """

    def __init__(self, traced: Sequence[Subject], stride: int) -> None:
        self._traced = traced
        self._stride = stride
        self._heads = 0
        self._prices: dict[tuple[str, Address], list[PricePoint]] = {}
        self._distances: dict[Subject, list[DistancePoint]] = {subject: [] for subject in traced}
        self._shortfalls: dict[str, list[BadDebtPoint]] = {}
        self.lowest: dict[Subject, Wad] = {}

    def look(self, engine: Engine, chain_id: int, at: Moment) -> None:
        """Look at the venues of a chain, at a head of it."""
        for name, ledger in engine.ledgers.items():
            if ledger.chain_id == chain_id:
                self._owed(engine, name, at)
        if self._heads % self._stride == 0:
            self._sample(engine, chain_id, at)
        self._heads += 1

    def _sample(self, engine: Engine, chain_id: int, at: Moment) -> None:
        for name, ledger in engine.ledgers.items():
            if ledger.chain_id == chain_id:
                for each in ledger.asset_prices():
                    self._priced((name, each.asset), each.price, at)
        for venue, account in self._traced:
            if venue in engine.ledgers and engine.ledgers[venue].chain_id == chain_id:
                margin = margin_held(engine, venue, account)
                known = margin.health.status is not Status.UNKNOWN
                self.note((venue, account), margin.health_wad if known else None, at)

    def note(self, subject: Subject, health: Wad | None, at: Moment) -> None:
        """Keep an account's health: a record that tells it counts as a sample, for those who are traced."""
        if health is not None:
            self.lowest[subject] = min(health, self.lowest.get(subject, health))
        points = self._distances.get(subject)
        if points is None:
            return
        point = DistancePoint(at, distance(health))
        if not (points and points[-1].distance == point.distance and len(points) > 1 and _flat(points)):
            points.append(point)
        else:
            points[-1] = point

    def _priced(self, key: tuple[str, Address], price: BigInt | None, at: Moment) -> None:
        points = self._prices.setdefault(key, [])
        if price is not None and (not points or points[-1].price != price):
            points.append(PricePoint(at, price))

    def _owed(self, engine: Engine, venue: str, at: Moment) -> None:
        found = shortfall(engine, venue)
        points = self._shortfalls.setdefault(venue, [])
        before = (int(points[-1].base), points[-1].accounts) if points else (0, 0)
        if (found.base, found.accounts) != before:
            points.append(BadDebtPoint(at, BaseAmount(found.base), found.accounts))

    def prices(self) -> tuple[PricePath, ...]:
        """Return the prices that were known, venue by venue."""
        paths = [PricePath(venue, asset, tuple(points)) for (venue, asset), points in self._prices.items() if points]
        return tuple(sorted(paths, key=lambda path: path.venue))

    def distances(self, subject: Subject) -> tuple[DistancePoint, ...]:
        """Return what was kept of an account."""
        return tuple(self._distances.get(subject, ()))

    def bad_debt(self) -> tuple[BadDebtPath, ...]:
        """Return every venue's."""
        return tuple(BadDebtPath(venue, tuple(points)) for venue, points in self._shortfalls.items())


def distance(health: Wad | None) -> float | None:
    """Return the natural logarithm of a health; ``None`` when it is unknown or nothing secures the debt."""
    return math.log(int(health) / Wad.ONE) if health is not None and int(health) > 0 else None


def shortfall(engine: Engine, venue: str) -> Shortfall:
    """Add up what a venue's accounts owe beyond their collateral; whoever does is liquidatable, so it is in the map."""
    is_exchange = engine.ledgers[venue].takeovers is not None
    gaps = [gap(margin, is_exchange=is_exchange) for (name, _), margin in engine.margins.items() if name == venue]
    return Shortfall(sum(gaps), sum(each > 0 for each in gaps))


def gap(margin: AccountMargin, *, is_exchange: bool) -> int:
    """Return what an account owes beyond its collateral, USD 1e-8; nothing where its health is unknown.

    At an exchange the figures are value and requirement: what is missing is a value below zero, which its health has.
    """
    if margin.health.status is Status.UNKNOWN:
        return 0
    if is_exchange:
        return max(0, -int(margin.health_wad or 0) * int(margin.debt_base) // Wad.ONE)
    return max(0, int(margin.debt_base) - int(margin.collateral_base))


def _flat(points: Sequence[DistancePoint]) -> bool:
    """Tell whether the last two points are level, so that the last one can move on without bending the line."""
    return points[-1].distance == points[-2].distance
