"""What a strategy sees where a test says all of it."""

from __future__ import annotations

from typing import Generic, TypeVar

from keeper.core.ids import Address
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount
from keeper.core.venue import Ledger, VenueView
from tests.engine.history import BOB

AnyLedger = TypeVar("AnyLedger", bound=Ledger)


class View(Generic[AnyLedger]):
    """A head with one venue, a fixed cost of gas and a fixed inventory of every token."""

    def __init__(self, ledger: AnyLedger, inventory: int = UINT256_MAX, gas: int | None = 0, minimum: int = 0) -> None:
        self.ledger = ledger
        self.amount = inventory
        self.gas = gas
        self.profit_base_min = BaseAmount(minimum)
        self.spend_base_max = BaseAmount(UINT256_MAX)
        self.signer = BOB

    def margin_reserved_base(self, venue: str) -> BaseAmount:  # noqa: ARG002 - nothing is in flight
        """Nothing."""
        return BaseAmount(0)

    def venue(self, name: str) -> VenueView:
        """The venue."""
        assert name == self.ledger.name
        return self.ledger

    def inventory(self, token: Address) -> TokenAmount:  # noqa: ARG002 - the same of every token
        """The inventory."""
        return TokenAmount(self.amount)

    def balance(self, token: Address) -> TokenAmount | None:  # noqa: ARG002 - the same of every token
        """The inventory."""
        return TokenAmount(self.amount)

    def gas_cost_base(self, gas: int) -> BaseAmount | None:  # noqa: ARG002 - fixed
        """The cost."""
        return None if self.gas is None else BaseAmount(self.gas)
