"""How a fall of a price would spread over the venues of a journal: their accounts' liquidations as one fire sale.

What accounts hold and owe is what their venues' own margins consist of (:mod:`keeper.venues.portfolio`), and each sells
at its own venue's line (:mod:`keeper.risk.cascade`). A token is one asset wherever it is held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.sparse import csr_array

from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.runconfig import IsolatedSpec, VenueSpec
from keeper.core.venue import Ledger
from keeper.risk.cascade import Borrowers, Cascade, by_group, cascade, spillovers
from keeper.risk.contagion import Impact, clearing
from keeper.risk.inputs import Bools, Floats, Integers, number
from keeper.risk.instruments import Kind
from keeper.venues.portfolio import Statement, Unmapped, statement_of

DEPTH_SHARE = 0.25
"""An asset's depth where none is given, as a share of all that is held of it: selling ``q`` into a constant-product
pool of half of all collateral, ``x`` coins, moves the price by ``2 q / x`` at first."""
DEPTH_LEAST_USD = 1.0
"""Of what nobody holds and so nobody sells."""
SUPPLIERS = "suppliers"
"""The node to which venues owe their bad debt."""


class Exposures(NamedTuple):
    """Every account with debt, of all venues, as borrowers; rows are accounts and columns assets.

    Attributes:
        venues: Their names, in the order of the journal.
        assets: What is held or owed, in the order in which it was met.
        venue: Each account's place among the venues, (A,).
        borrowers: What they hold and owe.
        traded: Which assets are markets of perpetuals, (K,).
        unmapped: The accounts without figures.
        left_out: Venues whose accounts are another venue's.
    """

    venues: tuple[str, ...]
    assets: tuple[Address, ...]
    venue: Integers
    borrowers: Borrowers
    traded: Bools
    unmapped: tuple[Unmapped, ...]
    left_out: tuple[str, ...]


class AssetEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an asset; USD at the prices before the shock, but ``sold_usd`` at those after it.

    ``depth_assumed`` is said of a depth that was not given: a share of what is held, no measurement of any market.
    ``shock`` and ``further_drop`` are parts of the price that are lost, the second of what the shock leaves.
    """

    asset: str
    held_usd: float
    owed_usd: float
    depth_usd: float
    depth_assumed: bool
    shock: float
    sold_usd: float
    further_drop: float


class VenueEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a venue's accounts; USD. Bad debt is what accounts owe beyond all that they have."""

    venue: str
    accounts: int
    unknown: int
    held_usd: float
    owed_usd: float
    liquidated: int
    debt_liquidated_usd: float
    bad_debt_before_usd: float
    bad_debt_usd: float


class Spillover(msgspec.Struct, frozen=True):
    """What one venue's liquidations cost the collateral at another, USD."""

    seller: str
    holder: str
    cost_usd: float


class Contagion(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shock ends: by asset (most held first), by venue, and from venue to venue."""

    rounds: int
    converged: bool
    assets: list[AssetEffect]
    venues: list[VenueEffect]
    spillovers: list[Spillover]


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one owes another, USD."""

    debtor: str
    creditor: str
    usd: float


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is owed what, and what each has to pay with besides (USD, by name; nothing where it is not named)."""

    claims: list[Claim] = []
    reserves_usd: dict[str, float] = {}


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """What a node of the network owes (bad debt is owed to the suppliers), pays and keeps, USD."""

    node: str
    owes_usd: float
    pays_usd: float
    keeps_usd: float
    defaults: bool


def exposures_of(ledgers: Mapping[str, Ledger], specs: Iterable[VenueSpec]) -> Exposures:
    """Return what every account with debt holds and owes, at each venue's head.

    A pre-liquidation contract closes debts of a market: where that market is a venue too, or another contract of it
    is, its accounts are left out, so that no debt is there twice.

    Args:
        ledgers: The venues, by name.
        specs: Their configuration.
    """
    left_out = _doubled(specs)
    venues = [name for name in ledgers if name not in left_out]
    statements: list[tuple[int, Statement]] = []
    unmapped: list[Unmapped] = []
    for place, name in enumerate(venues):
        prices: dict[Address, float | None] = {}
        for account in ledgers[name].accounts():
            found = statement_of(ledgers[name], account, prices)
            if isinstance(found, Unmapped):
                unmapped.append(found)
            else:
                statements.append((place, found))
    terms = [term for _, found in statements for term in found.terms if term.kind is not Kind.SPOT]
    assets = {asset: place for place, asset in enumerate(dict.fromkeys(term.asset for term in terms))}
    traded = {term.asset for term in terms if term.kind is Kind.PERPETUAL}
    return Exposures(
        tuple(venues),
        tuple(assets),
        np.array([place for place, _ in statements], np.int64),
        _borrowers([found for _, found in statements], assets),
        np.array([asset in traded for asset in assets], np.bool_),
        tuple(unmapped),
        left_out,
    )


def _doubled(specs: Iterable[VenueSpec]) -> tuple[str, ...]:
    """Return the venues that close debts of a market that another venue has already; the market itself comes first."""
    isolated = [(spec, spec.isolated) for spec in specs if isinstance(spec.isolated, IsolatedSpec)]
    isolated.sort(key=lambda each: not isinstance(each[1].pre_liquidation, msgspec.UnsetType))
    seen: set[tuple[int, Address, Hash32]] = set()
    doubled = []
    for spec, market in isolated:
        key = (spec.chain_id, spec.root, market.market)
        if key in seen:
            doubled.append(spec.name)
        seen.add(key)
    return tuple(sorted(doubled))


def _borrowers(statements: Sequence[Statement], assets: Mapping[Address, int]) -> Borrowers:
    shape = (len(statements), len(assets))
    moving = [[term for term in each.terms if term.kind is not Kind.SPOT] for each in statements]
    deposits = [sum(term.value_usd for term in each.terms if term.kind is Kind.SPOT) for each in statements]
    rows = [row for row, terms in enumerate(moving) for _ in terms]
    columns = [assets[term.asset] for terms in moving for term in terms]
    held = np.array([term.amount > 0 for terms in moving for term in terms], np.bool_)
    worth = np.array([abs(term.value_usd) for terms in moving for term in terms], np.float64)
    counted = np.array([abs(term.counted_usd) for terms in moving for term in terms], np.float64)

    def matrix(values: Floats, side: Bools) -> csr_array:
        return csr_array((np.where(side, values, 0.0), (rows, columns)), shape=shape)

    return Borrowers(
        held_usd=matrix(worth, held),
        counted_usd=matrix(counted, held),
        owed_usd=matrix(worth, ~held),
        owed_counted_usd=matrix(counted, ~held),
        cash_usd=np.array([each.cash_usd + deposit for each, deposit in zip(statements, deposits, strict=True)]),
        surplus_usd=np.array([each.surplus_usd for each in statements], np.float64),
        required_usd=np.array([each.requirement_usd for each in statements], np.float64),
        repays=np.array([all(term.kind is not Kind.PERPETUAL for term in terms) for terms in moving], np.bool_),
    )


def put_up(exposures: Exposures) -> tuple[Address, ...]:
    """Return the assets of which more is held than owed, and all markets of perpetuals: what falls when all falls.

    What is owed more than held is what the others are measured in.
    """
    net = (exposures.borrowers.held_usd - exposures.borrowers.owed_usd).sum(axis=0)
    found = zip(exposures.assets, (net > 0) | exposures.traded, strict=True)
    return tuple(asset for asset, falls in found if falls)


def contagion(
    exposures: Exposures,
    shocks: Mapping[Address, float],
    depths_usd: Mapping[Address, float],
    *,
    depth_usd: float | None = None,
    bonus: float,
    health_target: float,
) -> Contagion:
    """Return where liquidations end that a shock sets off.

    Args:
        exposures: The accounts.
        shocks: The part of its price that each asset loses; others lose nothing.
        depths_usd: By asset, what sold at once would move the price by all of itself at the first sale's rate.
        depth_usd: Of the other assets; a share of all that is held of each when left out.
        bonus: What a liquidator gets on top of what it repays, as a share.
        health_target: The health that a liquidation restores.

    Raises:
        RiskInputError: a number is out of range.
    """
    held = exposures.borrowers.held_usd.sum(axis=0)
    depths = np.array(
        [
            number("depth_usd", depths_usd.get(asset, default), above=0)
            for asset, default in zip(exposures.assets, _default_depths(held, depth_usd), strict=True)
        ]
    )
    assumed = {asset for asset in exposures.assets if asset not in depths_usd}
    shock = np.array([number("shock", shocks.get(asset, 0.0), least=0, most=1) for asset in exposures.assets])
    found = cascade(exposures.borrowers, shock, Impact(depths), bonus=bonus, health_target=health_target)
    summed = by_group(exposures.venue, len(exposures.venues))
    sold = (summed @ found.sold_usd).toarray()
    costs = spillovers((summed @ exposures.borrowers.held_usd).toarray() * (1.0 - shock), sold, found.kept)
    return Contagion(
        rounds=found.rounds,
        converged=found.converged,
        assets=_assets(exposures, shock, depths, set() if depth_usd is not None else assumed, found),
        venues=_venues(exposures, summed, found),
        spillovers=[
            Spillover(seller, holder, float(costs[one, other]))
            for one, seller in enumerate(exposures.venues)
            for other, holder in enumerate(exposures.venues)
            if costs[one, other] > 0
        ],
    )


def _default_depths(held: Floats, depth_usd: float | None) -> list[float]:
    if depth_usd is not None:
        return [depth_usd] * len(held)
    return [max(DEPTH_SHARE * float(each), DEPTH_LEAST_USD) for each in held]


def _assets(
    exposures: Exposures, shock: Floats, depths: Floats, assumed: Collection[Address], found: Cascade
) -> list[AssetEffect]:
    held = exposures.borrowers.held_usd.sum(axis=0)
    owed = exposures.borrowers.owed_usd.sum(axis=0)
    sold = found.sold_usd.sum(axis=0)
    effects = [
        AssetEffect(
            asset=to_hex(asset),
            held_usd=float(held[place]),
            owed_usd=float(owed[place]),
            depth_usd=float(depths[place]),
            depth_assumed=asset in assumed,
            shock=float(shock[place]),
            sold_usd=float(sold[place]),
            further_drop=float(1.0 - found.kept[place]),
        )
        for place, asset in enumerate(exposures.assets)
    ]
    return sorted(effects, key=lambda each: -each.held_usd)


def _venues(exposures: Exposures, summed: csr_array, found: Cascade) -> list[VenueEffect]:
    borrowers = exposures.borrowers
    columns = {
        "held_usd": borrowers.held_usd.sum(axis=1),
        "owed_usd": borrowers.owed_usd.sum(axis=1),
        "debt_liquidated_usd": found.repaid_usd,
        "bad_debt_before_usd": np.maximum(-borrowers.equity_usd, 0.0),
        "bad_debt_usd": found.bad_debt_usd,
    }
    sums = {name: summed @ values for name, values in columns.items()}
    accounts, liquidated = summed @ np.ones(len(found.part)), summed @ (found.part > 0).astype(np.float64)
    return [
        VenueEffect(
            venue=venue,
            accounts=int(accounts[place]),
            unknown=sum(each.venue == venue for each in exposures.unmapped),
            liquidated=int(liquidated[place]),
            **{name: float(values[place]) for name, values in sums.items()},
        )
        for place, venue in enumerate(exposures.venues)
    ]


def cleared(found: Contagion, told: Claims) -> tuple[list[Cleared], int]:
    """Return what everybody pays when bad debts are losses of their venues, and how many waves of defaults that took.

    Eisenberg and Noe's clearing (:func:`keeper.risk.contagion.clearing`): a venue owes its bad debt to its suppliers,
    beside what the claims say, and pays all of it in proportion out of its reserves and of what it is paid.

    Raises:
        RiskInputError: an amount is negative or not finite, or somebody owes itself.
    """
    bad = {each.venue: each.bad_debt_usd for each in found.venues}
    named = [name for claim in told.claims for name in (claim.debtor, claim.creditor)]
    nodes = list(dict.fromkeys([*bad, *told.reserves_usd, *named, SUPPLIERS]))
    places = {node: place for place, node in enumerate(nodes)}
    owed = np.zeros((len(nodes), len(nodes)))
    for claim in told.claims:
        owed[places[claim.debtor], places[claim.creditor]] += number("usd", claim.usd, least=0)
    for venue, amount in bad.items():
        owed[places[venue], places[SUPPLIERS]] += amount
    reserves = [number(f"reserves_usd.{node}", told.reserves_usd.get(node, 0.0), least=0) for node in nodes]
    result = clearing(owed, reserves)
    rows = [
        Cleared(
            node=node,
            owes_usd=float(owed[place].sum()),
            pays_usd=float(result.payments_usd[place]),
            keeps_usd=float(result.equities_usd[place]),
            defaults=bool(result.defaults[place]),
        )
        for place, node in enumerate(nodes)
    ]
    return rows, result.rounds
