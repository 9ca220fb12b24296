"""What the ledger remembers: the rows and the tables they stand in.

Nothing here is derived except two figures that the contract also keeps and does not emit: an account's configuration
bitmap (its borrowing bits follow from the debt being non-zero) and a reserve's place in the list.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import ADDRESS_LENGTH, ZERO_ADDRESS, Address
from keeper.core.units import BigInt
from keeper.venues.aave_v3.math import RAY
from keeper.venues.tables import StructColumn, Tables, UnsignedColumn

ONLY_ROW = b"\0"
BORROWING_BITS = int("01" * 128, 2)
ITEM_LENGTH = 1 + 2 * ADDRESS_LENGTH
_EPOCH_SHIFT = 32
LEDGER_VERSION = "aave_v3/3"
"""Begins every dump of the state."""


class BlockRow(msgspec.Struct, frozen=True, array_like=True):
    """The block the state stands at; ``timestamp`` in seconds."""

    number: int
    timestamp: int


class Contracts(msgspec.Struct, frozen=True, array_like=True):
    """The market's contracts as the provider names them (zero: none) and the pool's revision (``None``: not read)."""

    pool: Address = ZERO_ADDRESS
    configurator: Address = ZERO_ADDRESS
    oracle: Address = ZERO_ADDRESS
    sentinel: Address = ZERO_ADDRESS
    revision: int | None = None
    sentinel_allows: bool | None = None
    sentinel_read_at: int = -1


class Reserve(msgspec.Struct, frozen=True, array_like=True):
    """A listed asset. Ratios 1e-4; ``index`` is its place in the pool's list.

    ``grace_until`` (seconds) is when it may be liquidated again; ``doubt`` says why it is not followed.
    """

    index: int
    a_token: Address
    stable_token: Address
    variable_token: Address
    ltv: int = 0
    threshold: int = 0
    bonus: int = 0
    protocol_fee: int = 0
    category: int = 0
    active: bool = True
    paused: bool = False
    doubt: str = ""
    grace_until: int = 0


class Interest(msgspec.Struct, frozen=True, array_like=True):
    """Indexes and yearly rates of a reserve (ray) as they stood at ``since`` (seconds)."""

    liquidity_index: BigInt = BigInt(RAY)
    liquidity_rate: BigInt = BigInt(0)
    variable_index: BigInt = BigInt(RAY)
    variable_rate: BigInt = BigInt(0)
    since: int = 0


class Category(msgspec.Struct, frozen=True, array_like=True):
    """An efficiency-mode category: ratios 1e-4; ``price_source`` zero when each asset keeps its own price.

    ``collateral`` has a bit for each reserve, by its place, that the category's ratios apply to, and
    ``without_ltv`` for each of them that lends nothing; neither is kept before v3.2, when a reserve named its category.
    """

    ltv: int = 0
    threshold: int = 0
    bonus: int = 0
    price_source: Address = ZERO_ADDRESS
    collateral: BigInt = BigInt(0)
    without_ltv: BigInt = BigInt(0)


class StableDebt(msgspec.Struct, frozen=True, array_like=True):
    """A debt at its own fixed yearly rate (ray), compounding from ``since`` (seconds)."""

    principal: BigInt
    rate: BigInt
    since: int


class Following(Enum):
    """How a price stays known; see :mod:`keeper.venues.aave_v3.reads`."""

    READ = "read"
    CANDIDATE = "candidate"
    FOLLOWED = "followed"


class PriceRow(msgspec.Struct, frozen=True, array_like=True):
    """The oracle's price of an asset, or of an efficiency mode's price source (1e-8 USD), as of block ``at``.

    ``value`` is ``None`` when it is not known, ``reason`` then says why.
    """

    value: BigInt | None
    at: int
    reason: str = ""
    source: Address = ZERO_ADDRESS
    following: Following = Following.READ


class WaitingRow(msgspec.Struct, frozen=True, array_like=True):
    """A log that cannot be folded before the pool's revision is known, and its block."""

    block: BlockRow
    log: RawLog


class ReadingRow(msgspec.Struct, frozen=True, array_like=True):
    """The block that the market is being read at, and the last block whose logs were searched for holders."""

    header: BlockHeader
    searched_to: int


class State:
    """The tables. Keys are addresses; balances are kept by token and account joined.

    The last four are empty but while the market is read at one block: :mod:`keeper.venues.aave_v3.reading`.
    """

    def __init__(self) -> None:
        tables = self.tables = Tables(LEDGER_VERSION)
        self.block = tables.table("block", 1, StructColumn(BlockRow))
        self.contracts = tables.table("contracts", 1, StructColumn(Contracts))
        self.reserves = tables.table("reserves", ADDRESS_LENGTH, StructColumn(Reserve))
        self.interest = tables.table("interest", ADDRESS_LENGTH, StructColumn(Interest))
        self.decimals = tables.table("decimals", ADDRESS_LENGTH, UnsignedColumn(1))
        self.liquidity = tables.table("liquidity", ADDRESS_LENGTH, UnsignedColumn(32))
        self.categories = tables.table("categories", 1, StructColumn(Category))
        self.prices = tables.table("prices", ADDRESS_LENGTH, StructColumn(PriceRow))
        self.modes = tables.table("modes", ADDRESS_LENGTH, UnsignedColumn(1))
        self.bitmaps = tables.table("bitmaps", ADDRESS_LENGTH, UnsignedColumn(32))
        self.epochs = tables.table("epochs", ADDRESS_LENGTH, UnsignedColumn(12))
        self.scaled = tables.table("scaled", 2 * ADDRESS_LENGTH, UnsignedColumn(32))
        self.stable = tables.table("stable", 2 * ADDRESS_LENGTH, StructColumn(StableDebt))
        self.waiting = tables.table("waiting", 12, StructColumn(WaitingRow))
        self.reading = tables.table("reading", 1, StructColumn(ReadingRow))
        self.holders = tables.table("holders", 2 * ADDRESS_LENGTH, UnsignedColumn(1))
        self.unread = tables.table("unread", ITEM_LENGTH, UnsignedColumn(1))
        self.totals = tables.table("totals", ADDRESS_LENGTH, UnsignedColumn(32))

    @property
    def now(self) -> BlockRow:
        """The block the state stands at."""
        return self.block.get(ONLY_ROW) or BlockRow(-1, 0)

    @property
    def market(self) -> Contracts:
        """The market's contracts."""
        return self.contracts.get(ONLY_ROW) or Contracts()

    def queue(self) -> list[tuple[bytes, WaitingRow]]:
        """Return the logs that wait for the pool's revision, in their order."""
        return sorted(self.waiting.rows.items())

    def listed(self) -> list[tuple[Address, Reserve]]:
        """Assets and reserves in the order of the pool's list."""
        rows = [(Address(asset), reserve) for asset, reserve in self.reserves.rows.items()]
        return sorted(rows, key=lambda row: row[1].index)

    def priced(self) -> list[Address]:
        """What the oracle is asked about: listed assets, then the categories' price sources, each once."""
        sources = [self.categories[key].price_source for key in sorted(self.categories.rows)]
        named = [asset for asset, _ in self.listed()] + [source for source in sources if source != ZERO_ADDRESS]
        return list(dict.fromkeys(named))

    def mark_epoch(self, user: Address, log_index: int) -> None:
        """Remember that this log of the current block changed an account's position."""
        self.epochs.set(user, self.now.number << _EPOCH_SHIFT | log_index)

    def epoch(self, user: Address) -> tuple[int, int]:
        """Return block number and log index of the last change of an account's position; zeros for none."""
        packed = self.epochs.get(user) or 0
        return packed >> _EPOCH_SHIFT, packed & (1 << _EPOCH_SHIFT) - 1
