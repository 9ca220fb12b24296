"""The figures of all venues are added up against one limit, so all count in one unit: USD 1e-8."""

from __future__ import annotations

import pytest

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, TokenAmount
from keeper.core.venue import Ledger
from tests.venues import morpho_logs, synthetic

DEBT = 1_800 * 10**6
AAVE, MORPHO = synthetic.opened(debt=DEBT).ledger, morpho_logs.opened(debt=DEBT).ledger
DOLLAR, ETHER = BaseAmount(10**8), BaseAmount(2_000 * 10**8)


@pytest.mark.parametrize(
    ("ledger", "token", "one", "value"),
    [
        (AAVE, synthetic.USDC, 10**6, DOLLAR),
        (AAVE, synthetic.WETH, 10**18, ETHER),
        (MORPHO, morpho_logs.USDC, 10**6, DOLLAR),
        (MORPHO, morpho_logs.WETH, 10**18, ETHER),
    ],
)
def test_a_dollar_is_a_dollar_everywhere(ledger: Ledger, token: Address, one: int, value: BaseAmount) -> None:
    """One whole token is worth the same at each venue, whatever its decimals and whoever prices it."""
    assert ledger.value_base(token, TokenAmount(one)) == value


@pytest.mark.parametrize(("ledger", "account"), [(AAVE, synthetic.ALICE), (MORPHO, morpho_logs.ALICE)])
def test_a_loan_has_the_same_figures_everywhere(ledger: Ledger, account: Address) -> None:
    """Urgency and limits compare margins and slices of different venues, so the same ones are told alike."""
    margin = ledger.margin(account)
    assert (margin.collateral_base, margin.debt_base) == (ETHER, 1_800 * DOLLAR)
    (pair,) = ledger.pairs(account)
    assert (pair.collateral_base, pair.debt_base) == (ETHER, 1_800 * DOLLAR)
    preview = ledger.preview(account, pair.debt_asset, pair.collateral_asset, TokenAmount(100 * 10**6))
    assert (preview.revert, round(int(preview.repaid_base) / 10**8, 3)) == (None, 100)
