"""What the ledger remembers: the rows and the tables they stand in. Nothing here is derived."""

from __future__ import annotations

import msgspec

from keeper.core.ids import ADDRESS_LENGTH, ZERO_ADDRESS, Address
from keeper.core.units import BigInt
from keeper.venues.tables import StructColumn, Tables, UnsignedColumn

ONLY_ROW = b"\0"
_EPOCH_SHIFT = 32
NOTHING = BigInt(0)
LEDGER_VERSION = "morpho_blue/1"
PRE_LEDGER_VERSION = "morpho_blue_pre/1"
"""Either begins every dump of its state."""


class BlockRow(msgspec.Struct, frozen=True, array_like=True):
    """The block the state stands at; ``timestamp`` in seconds."""

    number: int
    timestamp: int


class Params(msgspec.Struct, frozen=True, array_like=True):
    """What the market is, for ever: its id is the hash of this. ``lltv`` in wad."""

    loan_token: Address
    collateral_token: Address
    oracle: Address
    irm: Address
    lltv: BigInt


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """The contract's ``Market``: totals as of the last accrual at ``last_update`` (seconds), and the fee (wad).

    ``doubt`` says why the interest to come cannot be told.
    """

    supply_assets: BigInt = NOTHING
    supply_shares: BigInt = NOTHING
    borrow_assets: BigInt = NOTHING
    borrow_shares: BigInt = NOTHING
    last_update: int = 0
    fee: BigInt = NOTHING
    doubt: str = ""


class FeeRow(msgspec.Struct, frozen=True, array_like=True):
    """Who gets the fee shares (zero: nobody was named)."""

    recipient: Address = ZERO_ADDRESS


class PriceRow(msgspec.Struct, frozen=True, array_like=True):
    """The oracle's price as of block ``at``; ``value`` is ``None`` when it is not known, ``reason`` then says why."""

    value: BigInt | None
    at: int
    reason: str = ""


class RateRow(msgspec.Struct, frozen=True, array_like=True):
    """What the interest-rate model answered as of block ``at``, wad per second.

    ``adaptive`` says whether ``value`` is the rate at target utilization, from which the adaptive curve is worked out,
    or the rate itself.
    """

    value: BigInt | None
    at: int
    adaptive: bool
    reason: str = ""


class DecimalsRow(msgspec.Struct, frozen=True, array_like=True):
    """Decimals of the loan token, which only values are counted with."""

    loan: int


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """A pre-liquidation contract's parameters, for ever, in wad.

    Its line; then close factor and incentive, each where its zone begins and where that ends at the market's line.
    """

    pre_lltv: BigInt
    close_factor_first: BigInt
    close_factor_last: BigInt
    incentive_first: BigInt
    incentive_last: BigInt
    oracle: Address


class State:
    """The tables. Keys are accounts, or :data:`ONLY_ROW`."""

    def __init__(self, version: str = LEDGER_VERSION) -> None:
        tables = self.tables = Tables(version)
        self.block = tables.table("block", 1, StructColumn(BlockRow))
        self.params = tables.table("params", 1, StructColumn(Params))
        self.totals = tables.table("totals", 1, StructColumn(Totals))
        self.fees = tables.table("fees", 1, StructColumn(FeeRow))
        self.price = tables.table("price", 1, StructColumn(PriceRow))
        self.rate = tables.table("rate", 1, StructColumn(RateRow))
        self.decimals = tables.table("decimals", 1, StructColumn(DecimalsRow))
        self.supply_shares = tables.table("supply_shares", ADDRESS_LENGTH, UnsignedColumn(32))
        self.borrow_shares = tables.table("borrow_shares", ADDRESS_LENGTH, UnsignedColumn(32))
        self.collateral = tables.table("collateral", ADDRESS_LENGTH, UnsignedColumn(32))
        self.epochs = tables.table("epochs", ADDRESS_LENGTH, UnsignedColumn(12))

    @property
    def now(self) -> BlockRow:
        """The block the state stands at."""
        return self.block.get(ONLY_ROW) or BlockRow(-1, 0)

    @property
    def market(self) -> Totals:
        """The market's totals as of its last accrual."""
        return self.totals.get(ONLY_ROW) or Totals()

    def mark_epoch(self, account: Address, log_index: int) -> None:
        """Remember that this log of the current block changed an account's position."""
        self.epochs.set(account, self.now.number << _EPOCH_SHIFT | log_index)

    def epoch(self, account: Address) -> tuple[int, int]:
        """Return block number and log index of the last change of an account's position; zeros for none."""
        packed = self.epochs.get(account) or 0
        return packed >> _EPOCH_SHIFT, packed & (1 << _EPOCH_SHIFT) - 1


class PreState(State):
    """The tables of a market with those of a pre-liquidation contract of it; who authorised it has a row."""

    def __init__(self) -> None:
        super().__init__(PRE_LEDGER_VERSION)
        self.terms = self.tables.table("terms", 1, StructColumn(Terms))
        self.pre_price = self.tables.table("pre_price", 1, StructColumn(PriceRow))
        self.authorized = self.tables.table("authorized", ADDRESS_LENGTH, UnsignedColumn(1))
