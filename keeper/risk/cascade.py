"""Liquidations as a fire sale: accounts sell at their own venue's line, and what they sell moves prices for everyone.

The fixed point is that of :func:`keeper.risk.contagion.fire_sale` (Cifuentes, Ferrucci and Shin 2005; Cont and
Schaanning 2017), with two differences. Who sells is not a venue above some leverage, but each account whose collateral
no longer covers its debt *by the weights of its venue* (a liquidation threshold, a maintenance ratio). And liquidators
are paid a bonus, so what an account sells repays less than it was worth. With one collateral of weight ``tau``, no
bonus and a target health ``h`` it is the same as leverages ``1 / (1 - tau)`` and ``1 / (1 - tau / h)``.

With ``x`` the prices over those after the shock, an account is left with ``S(x) = rest + L . x - D``: counted
collateral, less debts. A debt moves with its price only as far as collateral in the same token secures it; beyond that
it stands where the shock left it, since whoever repays buys it rather than sells. So S only falls with prices, and
selling the part ``p`` of all that is held changes it by ``p R(x)``, ``R = held / (1 + bonus) - counted``. An account
with S < 0 sells just what makes it healthy by the target, and everything where that is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, diags_array

from keeper.core.errors import RiskInputError
from keeper.risk.contagion import ROUNDING, Impact, settle
from keeper.risk.inputs import Bools, Floats, Integers, array, number, places, whole


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Borrowers:
    """A accounts and K assets before a shock, in USD; sparse matrices of shape (A, K), none with a negative entry.

    Attributes:
        held_usd: What each could sell: collateral and long positions.
        counted_usd: How much of that counts at the account's venue.
        owed_usd: Debts and short positions.
        owed_counted_usd: What those count for.
        cash_usd: What else belongs to its equity and does not move, (A,).
        surplus_usd: What its venue says that it has left, (A,); below zero it may be liquidated.
        required_usd: What its venue says is to be secured, (A,).
        repays: Whether what is sold repays a debt; else it closes a position. (A,)

    Raises:
        RiskInputError: shapes differ, or an amount is negative or not finite.
    """

    held_usd: csr_array
    counted_usd: csr_array
    owed_usd: csr_array
    owed_counted_usd: csr_array
    cash_usd: Floats
    surplus_usd: Floats
    required_usd: Floats
    repays: Bools

    def __post_init__(self) -> None:
        """Refuse what gives no cascade."""
        shape = self.held_usd.shape
        for name in ("held_usd", "counted_usd", "owed_usd", "owed_counted_usd"):
            matrix = getattr(self, name)
            if matrix.shape != shape:
                raise RiskInputError(name, f"has shape {matrix.shape}", f"give {shape}")
            array(name, matrix.data, least=0)
        array("cash_usd", self.cash_usd, ndim=1, length=shape[0])
        array("surplus_usd", self.surplus_usd, ndim=1, length=shape[0])
        array("required_usd", self.required_usd, ndim=1, length=shape[0], least=0)
        if self.repays.shape != shape[:1]:
            raise RiskInputError("repays", f"has shape {self.repays.shape}", f"give {shape[:1]}")

    @property
    def equity_usd(self) -> Floats:
        """What each has before the shock, (A,)."""
        equity: Floats = self.cash_usd + self.held_usd.sum(axis=1) - self.owed_usd.sum(axis=1)
        return equity

    def shocked(self, shock: Floats) -> Borrowers:
        """Return the accounts after a fall of prices by these parts, (K,).

        Raises:
            RiskInputError: a part is not within [0, 1], or they are not one for each asset.
        """
        left = diags_array(1.0 - array("shock", shock, ndim=1, length=self.held_usd.shape[1], least=0, most=1))
        now = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: csr_array(value @ left) for name, value in now.items() if isinstance(value, csr_array)}
        change = (moved["counted_usd"] - self.counted_usd) - (moved["owed_counted_usd"] - self.owed_counted_usd)
        return Borrowers(**{**now, **moved, "surplus_usd": self.surplus_usd + change.sum(axis=1)})


@dataclass(frozen=True, slots=True)
class Cascade:
    """Where liquidations end; not ``converged`` when the rounds ran out, and the prices are then too high.

    Attributes:
        price: Each asset's over what it was before the shock, (K,).
        kept: Each asset's over what it was after the shock, (K,): what the sales left of it.
        part: What part of its holdings each account sold, (A,).
        sold_usd: What each sold of each asset at the prices after the shock, sparse (A, K).
        repaid_usd: The debt that the sales repaid, or the size of the positions that they closed, (A,).
        equity_usd: What each is left with, (A,); below zero it is bad debt.
        rounds: How many rounds it took.
        converged: Whether prices came to rest.
    """

    price: Floats
    kept: Floats
    part: Floats
    sold_usd: csr_array
    repaid_usd: Floats
    equity_usd: Floats
    rounds: int
    converged: bool

    @property
    def bad_debt_usd(self) -> Floats:
        """What each owes beyond all it has, (A,)."""
        return np.maximum(-self.equity_usd, 0.0)


def cascade(
    borrowers: Borrowers,
    shock: ArrayLike,
    impact: Impact,
    *,
    bonus: float,
    health_target: float,
    rounds_most: int = 1_000,
    tolerance: float = 1e-12,
) -> Cascade:
    """Return the fixed point of liquidations that move the prices of what they sell.

    Args:
        borrowers: The accounts of all venues.
        shock: The part of its price that each asset loses first, (K,).
        impact: The depth of each asset's market.
        bonus: What a liquidator gets on top of what it repays, as a share.
        health_target: What counts over what is to be secured after a liquidation, at least 1.
        rounds_most: When to give up.
        tolerance: The greatest move of a relative price in a round that counts as none.

    Raises:
        RiskInputError: a shape does not fit or a number is out of range.
    """
    assets = borrowers.held_usd.shape[1]
    lost = array("shock", shock, ndim=1, length=assets, least=0, most=1)
    array("depth_usd", impact.depth_usd, ndim=1, length=assets)
    sale = _Sale.of(borrowers.shocked(lost), number("bonus", bonus, least=0), number("target", health_target, least=1))
    fallen = settle(lambda kept: sale.part(kept) @ sale.after.held_usd, impact, rounds_most, tolerance)
    part = sale.part(fallen.kept)
    proceeds = part * (sale.after.held_usd @ fallen.kept)
    repaid = np.where(borrowers.repays, proceeds / (1.0 + bonus), proceeds)
    equity = sale.equity(fallen.kept) - proceeds * bonus / (1.0 + bonus)
    sold = csr_array(diags_array(part) @ sale.after.held_usd)
    price = (1.0 - lost) * fallen.kept
    return Cascade(price, fallen.kept, part, sold, repaid, equity, fallen.rounds, fallen.converged)


@dataclass(frozen=True, slots=True)
class _Sale:
    """What decides who sells: accounts after the shock, and their sums as functions of what is left of the prices."""

    after: Borrowers
    rest: Floats
    moving: csr_array
    standing: Floats
    recovered: csr_array
    repaid: csr_array
    excess: float
    goal: Floats
    noise: Floats

    @classmethod
    def of(cls, after: Borrowers, bonus: float, health_target: float) -> _Sale:
        counted, owed = after.counted_usd, after.owed_counted_usd
        matched = counted.minimum(owed)
        gross = counted.sum(axis=1) + owed.sum(axis=1)
        repaid = after.held_usd / (1.0 + bonus)
        return cls(
            after=after,
            rest=after.surplus_usd - counted.sum(axis=1) + owed.sum(axis=1),
            moving=csr_array(counted - matched),
            standing=(owed - matched).sum(axis=1),
            recovered=csr_array(repaid - counted),
            repaid=csr_array(diags_array(after.repays.astype(np.float64)) @ repaid),
            excess=health_target - 1.0,
            goal=np.where(after.repays, owed.sum(axis=1), after.required_usd),
            noise=ROUNDING * gross,
        )

    def part(self, kept: Floats) -> Floats:
        """Return the part of all it holds that each account sells at these prices."""
        left = self.rest + self.moving @ kept - self.standing
        wanted = self.excess * self.goal - left
        gained = self.recovered @ kept + self.excess * (self.repaid @ kept)
        short = left < -self.noise
        needed = np.divide(wanted, gained, out=np.ones_like(wanted), where=short & (gained > wanted))
        return np.where(short, np.clip(needed, 0.0, 1.0), 0.0)

    def equity(self, kept: Floats) -> Floats:
        """Return what each has at these prices before the liquidators are paid; debts stand as for the line."""
        held, owed = self.after.held_usd, self.after.owed_usd
        matched = held.minimum(owed)
        equity: Floats = self.after.cash_usd + (held - matched) @ kept - (owed - matched).sum(axis=1)
        return equity


def by_group(groups: Integers, count: int) -> csr_array:
    """Return the matrix (count, A) that adds up accounts by their group.

    Raises:
        RiskInputError: an account is of no group.
    """
    group = places("groups", groups, whole("count", count, least=0))
    accounts = np.arange(len(group))
    return csr_array((np.ones(len(group)), (group, accounts)), shape=(count, len(group)))


def spillovers(held_usd: ArrayLike, sold_usd: ArrayLike, kept: ArrayLike) -> Floats:
    """Return what each group's sales cost each group's holdings, (G, G): seller by row.

    An asset's loss is shared out among its sellers by what they sold: ``sum_k held_jk (1 - kept_k) sold_ik / sold_k``.
    The rows and columns so add up to all that the sales took from the holdings of what was sold.

    Args:
        held_usd: Holdings by group and asset at the prices after the shock, (G, K).
        sold_usd: Sales by group and asset at the same prices, (G, K).
        kept: What the sales left of each price, (K,).

    Raises:
        RiskInputError: a shape does not fit or an amount is negative.
    """
    held = array("held_usd", held_usd, ndim=2, least=0)
    sold = array("sold_usd", sold_usd, ndim=2, length=len(held), least=0)
    left = array("kept", kept, ndim=1, length=held.shape[1], least=0, most=1)
    total = sold.sum(axis=0)
    share = np.divide(sold, total, out=np.zeros_like(sold), where=total > 0)
    taken: Floats = share @ (held * (1.0 - left)).T
    return taken
