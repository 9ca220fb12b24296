"""Feed a ledger of Perpetual Protocol v2 as :mod:`tests.chain.aave_feed` feeds one of Aave."""

from __future__ import annotations

from typing import cast

from keeper.core.ids import parse_address
from keeper.core.runconfig import ExchangeSpec, VenueSpec
from keeper.core.venue import LiquidationSeen
from keeper.lab.localchain.perp import SETTLEMENT_DECIMALS, PerpExchange
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.perp_v2.ledger import PerpLedger
from tests.chain.aave_feed import FedBlock, Feed


def open_perp(exchange: PerpExchange) -> PerpLedger:
    """Return an empty ledger of a local deployment."""
    names = set(ExchangeSpec.__struct_fields__) - {"settlement_decimals"}
    addresses = {name: parse_address(getattr(exchange, name)) for name in names}
    return PerpLedger(
        VenueSpec(
            name="perp",
            protocol="perp_v2",
            chain_id=31337,
            root=parse_address(exchange.clearing_house),
            from_block=exchange.first_block,
            prices="read",
            contracts=ExchangeSpec(**addresses, settlement_decimals=SETTLEMENT_DECIMALS),
        )
    )


class PerpFeed:
    """One ledger and the blocks it was fed. What a feed asks of a ledger, folding and undoing, both ledgers have."""

    def __init__(self, rpc: LabRpc, ledger: PerpLedger) -> None:
        self._feed = Feed(rpc, cast("AaveLedger", ledger))

    @property
    def ledger(self) -> PerpLedger:
        """The ledger that is fed."""
        return cast("PerpLedger", self._feed.ledger)

    @ledger.setter
    def ledger(self, ledger: PerpLedger) -> None:
        self._feed.ledger = cast("AaveLedger", ledger)

    @property
    def seen(self) -> list[LiquidationSeen]:
        """The liquidations that went by."""
        return self._feed.seen

    async def up_to(self, number: int) -> None:
        """Feed every block up to and including ``number``."""
        await self._feed.up_to(number)

    def undo(self) -> FedBlock:
        """Take back the newest block and return it."""
        return self._feed.undo()

    def apply(self, block: FedBlock) -> None:
        """Fold a block."""
        self._feed.apply(block)
