"""Changes into rows: the one place where the state moves by logs.

The events carry every amount after the contract's rounding, so nothing is recomputed, with one exception: each accrual
prints the rate it was charged at, which is compared with the rate that was expected. A model that surprises is not
understood, and the interest to come is unknown until it does as expected again.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from msgspec.structs import replace

from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.units import BigInt
from keeper.venues.morpho_blue.events import (
    Borrowed,
    Change,
    CollateralSupplied,
    CollateralWithdrawn,
    FeeRecipientSet,
    FeeSet,
    InterestAccrued,
    Liquidated,
    MarketCreated,
    Repaid,
    Supplied,
    Withdrawn,
)
from keeper.venues.morpho_blue.market import rate_of
from keeper.venues.morpho_blue.state import ONLY_ROW, FeeRow, Params, RateRow, State, Totals
from keeper.venues.tables import Table

OVERDRAWN = "more was taken than was ever put in: a log is missing"


class Fold:
    """Applies changes to a state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._debtors: list[Address] | None = None

    def debtors(self) -> list[Address]:
        """Return the accounts with debt, sorted; not to be changed."""
        if self._debtors is None:
            self._debtors = sorted(map(Address, self._state.borrow_shares.rows))
        return self._debtors

    def forget_derived(self) -> None:
        """Drop what is derived from rows, after rows changed by other ways than a log."""
        self._debtors = None

    def apply(self, log: RawLog, change: Change) -> None:
        """Fold one change: the market first, then whose position it was."""
        state = self._state
        if isinstance(change, FeeRecipientSet):
            state.fees.set(ONLY_ROW, FeeRow(change.recipient))
            return
        if isinstance(change, MarketCreated):
            tokens = (change.loan_token, change.collateral_token)
            state.params.set(ONLY_ROW, Params(*tokens, change.oracle, change.irm, BigInt(change.lltv)))
        before = state.market
        after = totals_after(before, change)
        if not isinstance(change, CollateralSupplied):  # whatever else happened was preceded by an accrual
            after = replace(after, last_update=state.now.timestamp)
        if isinstance(change, InterestAccrued) and after.doubt != OVERDRAWN:
            after = replace(after, doubt=self._doubt(before, change.rate))
        state.totals.set(ONLY_ROW, after)
        self._move_position(log, change)

    def _doubt(self, before: Totals, charged: int) -> str:
        """Compare the rate that was charged with the one expected; without any expectation the doubt stays as it is."""
        state, row = self._state, self._state.rate.get(ONLY_ROW)
        if row is None or row.value is None or not _is_current(row, state):
            return before.doubt
        expected = rate_of(row, before, state.now.timestamp)
        if row.adaptive:  # the accrual moved the rate at target, which is read again at the end of the block
            state.rate.set(ONLY_ROW, replace(row, value=None, reason="it moved and was not read since"))
        return "" if charged == expected else f"its rate model charged {charged} where {expected} was expected"

    def _move_position(self, log: RawLog, change: Change) -> None:
        state = self._state
        match change:
            case InterestAccrued() if change.fee_shares:
                self._add(state.supply_shares, (state.fees.get(ONLY_ROW) or FeeRow()).recipient, change.fee_shares)
            case Supplied():
                self._add(state.supply_shares, change.account, change.shares)
            case Withdrawn():
                self._add(state.supply_shares, change.account, -change.shares)
            case Borrowed():
                self._owe(log, change.account, change.shares)
            case Repaid():
                self._owe(log, change.account, -change.shares)
            case CollateralSupplied():
                self._pledge(log, change.account, change.assets)
            case CollateralWithdrawn():
                self._pledge(log, change.account, -change.assets)
            case Liquidated():
                self._owe(log, change.account, -change.repaid_shares - change.bad_debt_shares)
                self._pledge(log, change.account, -change.seized)

    def _pledge(self, log: RawLog, account: Address, assets: int) -> None:
        self._add(self._state.collateral, account, assets)
        self._state.mark_epoch(account, log.log_index)

    def _owe(self, log: RawLog, account: Address, shares: int) -> None:
        table = self._state.borrow_shares
        owed = account in table.rows
        self._add(table, account, shares)
        self._state.mark_epoch(account, log.log_index)
        owes = account in table.rows
        if self._debtors is not None and owed != owes:
            if owes:
                insort(self._debtors, account)
            else:
                del self._debtors[bisect_left(self._debtors, account)]

    def _add(self, table: Table[int], account: Address, amount: int) -> None:
        balance = (table.get(account) or 0) + amount
        if balance < 0:
            self._state.totals.set(ONLY_ROW, replace(self._state.market, doubt=OVERDRAWN))
        table.set(account, max(balance, 0) or None)


def _is_current(row: RateRow, state: State) -> bool:
    """Tell whether an answer is of the totals that an accrual in this block ran on.

    The rate at target moves with accruals only, and those drop it. Another model's answer is of the totals at the end
    of its block, and may hang on settings of its own: only the block before counts.
    """
    return row.adaptive or row.at == state.now.number - 1


def totals_after(totals: Totals, change: Change) -> Totals:
    """Return the market's totals after a change; the time of the last accrual is left as it was."""
    if isinstance(change, MarketCreated):
        return Totals()
    if isinstance(change, FeeSet):
        return replace(totals, fee=BigInt(change.fee))
    moves = _moves(totals, change)
    held = (totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares)
    moved = [each + move for each, move in zip(held, moves, strict=True)]
    doubt = OVERDRAWN if min(moved) < 0 else totals.doubt
    left = [BigInt(max(each, 0)) for each in moved]
    return Totals(left[0], left[1], left[2], left[3], totals.last_update, totals.fee, doubt)


def _moves(totals: Totals, change: Change) -> tuple[int, int, int, int]:
    """Return what a change adds to supply and debt, each as assets and shares."""
    moves = (0, 0, 0, 0)
    match change:
        case InterestAccrued():
            moves = (change.interest, change.fee_shares, change.interest, 0)
        case Supplied():
            moves = (change.assets, change.shares, 0, 0)
        case Withdrawn():
            moves = (-change.assets, -change.shares, 0, 0)
        case Borrowed():
            moves = (0, 0, change.assets, change.shares)
        case Repaid():
            moves = (0, 0, -min(change.assets, totals.borrow_assets), -change.shares)
        case Liquidated():
            assets = min(change.repaid_assets, totals.borrow_assets) + change.bad_debt_assets
            moves = (-change.bad_debt_assets, 0, -assets, -change.repaid_shares - change.bad_debt_shares)
    return moves
