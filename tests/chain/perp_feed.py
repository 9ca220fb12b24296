"""Feed a ledger of Perpetual Protocol v2 as :mod:`tests.chain.aave_feed` feeds one of Aave."""

from __future__ import annotations

from keeper.core.ids import parse_address
from keeper.core.runconfig import ExchangeSpec, VenueSpec
from keeper.lab.localchain.perp import SETTLEMENT_DECIMALS, PerpExchange
from keeper.venues.perp_v2.ledger import PerpLedger
from tests.chain.aave_feed import JudgedFeed


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


class PerpFeed(JudgedFeed[PerpLedger]):
    """A ledger of a deployment, and the blocks it was fed."""
