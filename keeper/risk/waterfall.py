"""Who bears a loss: equity, then the liquidator's bonus, the insurance fund, auto-deleveraging, and all at last.

What is lost is what is borne, whatever the layers hold. Amounts are USD, one entry a liquidated account.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.adl import in_turn, pro_rata
from keeper.risk.inputs import Floats, aligned, array, history, number


@dataclass(frozen=True, slots=True)
class Borne:
    """What each layer bears of each account's loss; the five arrays sum to the losses."""

    equity_usd: Floats
    bonus_usd: Floats
    fund_usd: Floats
    deleveraged_usd: Floats
    socialised_usd: Floats

    @property
    def total_usd(self) -> Floats:
        """The loss of each account, added up again from its layers."""
        total: Floats = self.equity_usd + self.bonus_usd + self.fund_usd + self.deleveraged_usd + self.socialised_usd
        return total


def loss_waterfall(
    losses_usd: ArrayLike,
    *,
    equities_usd: ArrayLike,
    bonuses_usd: ArrayLike = 0.0,
    fund_usd: float = 0.0,
    deleverage_usd: float = 0.0,
) -> Borne:
    """Return who bears the losses of liquidated accounts.

    An account's equity goes first, then the bonus its liquidator forgoes. What is left needs the fund, which pays
    ``min(cash, need)`` account by account in their order; then winners, up to ``deleverage_usd`` in all; the rest is
    socialised (derivexyz/v2-core, ``SecurityModule.sol`` and ``CashAsset.sol``; arXiv 2512.01112).

    Args:
        losses_usd: What each account lost.
        equities_usd: What each had; below 0 counts as nothing, its hole being a loss made before.
        bonuses_usd: What its liquidator can forgo.
        fund_usd: The cash of the insurance fund.
        deleverage_usd: What winners can give up at most.

    Raises:
        RiskInputError: an amount is negative, or the arrays differ in length.
    """
    losses = history("losses_usd", losses_usd, shortest=1, least=0)
    equities = array("equities_usd", equities_usd, ndim=1, length=len(losses))
    by_equity = np.minimum(losses, np.maximum(equities, 0.0))
    need = losses - by_equity
    _, bonuses = aligned("losses and bonuses", losses, array("bonuses_usd", bonuses_usd, least=0))
    by_bonus = np.minimum(need, array("bonuses_usd", bonuses, ndim=1, length=len(losses)))
    need = need - by_bonus
    by_fund = in_turn(number("fund_usd", fund_usd, least=0), need)
    need = need - by_fund
    by_winners = in_turn(number("deleverage_usd", deleverage_usd, least=0), need)
    return Borne(by_equity, by_bonus, by_fund, by_winners, need - by_winners)


def socialise(loss_usd: float, balances_usd: ArrayLike) -> Floats:
    """Return what each holder of cash loses: one rate for all, as when the rest is printed and every claim diluted.

    Raises:
        RiskInputError: an amount is negative, or the loss exceeds the balances.
    """
    balances = history("balances_usd", balances_usd, shortest=1, least=0)
    total = float(balances.sum())
    loss = number("loss_usd", loss_usd, least=0)
    if loss > total:
        raise RiskInputError("loss_usd", f"is {loss:g}", f"give at most the sum of the balances, {total:g}")
    return pro_rata(loss, balances)


def withdrawals_blocked(insolvent_maintenance_usd: ArrayLike, module_cash_usd: float) -> bool:
    """Return whether withdrawals wait: the margins missing to insolvent accounts sum to more than the module has.

    derivexyz/v2-core, ``DutchAuction.sol``: blocked while ``sum of |MM| > cash of the security module``.

    Raises:
        RiskInputError: an amount is negative.
    """
    missing = array("insolvent_maintenance_usd", insolvent_maintenance_usd, least=0)
    return float(missing.sum()) > number("module_cash_usd", module_cash_usd, least=0)


def reserve_deficits(collateral_usd: ArrayLike, debts_usd: ArrayLike) -> Floats:
    """Return the deficit of each reserve: the debts of accounts that have no collateral left.

    Aave v3.3 and later record it at the liquidation that seizes the last collateral, and the account owes nothing any
    more (aave-dao/aave-v3-origin, ``LiquidationLogic.sol``). An account with any collateral has no deficit yet.

    Args:
        collateral_usd: All collateral of each account, shape (accounts,).
        debts_usd: Debts by account and reserve, shape (accounts, reserves).

    Raises:
        RiskInputError: a value is negative or the shapes do not fit.
    """
    collateral = array("collateral_usd", collateral_usd, ndim=1, least=0)
    debts = array("debts_usd", debts_usd, ndim=2, length=len(collateral), least=0)
    deficits: Floats = debts[collateral == 0.0].sum(axis=0)
    return deficits
