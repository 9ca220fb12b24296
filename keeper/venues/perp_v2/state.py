"""What the ledger remembers: the rows and the tables they stand in.

A pool's ticks are kept as checkpoints of their integral over time, as the pool keeps them for itself, back to the
longest interval that anything is averaged over.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.runconfig import ExchangeSpec
from keeper.core.units import BigInt
from keeper.venues.tables import StructColumn, Tables, UnsignedColumn

ONLY_ROW = b"\0"
INTERVAL_LENGTH = 4
_EPOCH_SHIFT = 32
LEDGER_VERSION = "perp_v2/2"
"""Begins every dump of the state."""


class PerpContracts(ExchangeSpec, frozen=True, kw_only=True):
    """The contracts of a deployment, as the configuration names them, its root among them."""

    clearing_house: Address


class BlockRow(msgspec.Struct, frozen=True, array_like=True):
    """The block the state stands at; ``timestamp`` in seconds."""

    number: int
    timestamp: int


class Config(msgspec.Struct, frozen=True, array_like=True):
    """The configuration: ratios 1e-6, intervals in seconds."""

    im: int
    mm: int
    penalty: int
    funding_max: int
    twap: int
    mark_twap: int
    premium: int


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """The terms on which collateral is sold for debt: ratios 1e-6, amounts in the settlement token's base units.

    Attributes:
        buffer: Added to the maintenance ratio.
        debt_ratio: The share of its collateral's value that an account may owe.
        sold: The share of a debt that one sale repays at most.
        fee: The insurance fund's share of what a sale brings.
        threshold: The debt that an account may have.
        dust: A debt of at most this is repaid whole.
    """

    buffer: int
    debt_ratio: int
    sold: int
    fee: int
    threshold: BigInt
    dust: BigInt


class Market(msgspec.Struct, frozen=True, array_like=True):
    """A listed market.

    Attributes:
        pool: Its pool.
        status: 0 open, else paused or closed.
        sqrt_price: The pool's price now, 2^-96; ``None`` before it was read.
        first_trade: Seconds; 0 before the first.
        settled: When funding was last brought up to date, seconds; 0 before the first time.
        growth: The funding growth as it stood then, 2^-96.
        doubt: Why it is not followed.
    """

    pool: Address
    status: int = 0
    sqrt_price: BigInt | None = None
    first_trade: int = 0
    settled: int = 0
    growth: BigInt = BigInt(0)
    doubt: str = ""


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The integral of a pool's tick over time up to ``timestamp`` (seconds), and the tick from there on."""

    timestamp: int
    integral: int
    tick: int


class Ticks(msgspec.Struct, frozen=True, array_like=True):
    """A pool's checkpoints, oldest first."""

    points: tuple[Checkpoint, ...]


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A taker's position, 1e-18, and the funding growth it was last settled at, 2^-96."""

    size: BigInt = BigInt(0)
    open_notional: BigInt = BigInt(0)
    growth: BigInt = BigInt(0)


class Amount(msgspec.Struct, frozen=True, array_like=True):
    """A signed amount."""

    value: BigInt


class Collateral(msgspec.Struct, frozen=True, array_like=True):
    """A collateral: ``ratio`` and ``discount`` 1e-6; decimals of the token and its price, ``None`` before read."""

    ratio: int
    discount: int
    decimals: int | None = None
    price_decimals: int | None = None


class ReadRow(msgspec.Struct, frozen=True, array_like=True):
    """What a view answered at block ``at``: ``value`` is ``None`` when it reverted, and ``reason`` says why."""

    value: BigInt | None
    at: int
    reason: str = ""


class Most(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The most that one sale repays, and what it sells for that: base units of the settlement token, of the token."""

    repaid: BigInt
    collateral: BigInt


class MakerRow(msgspec.Struct, frozen=True, array_like=True):
    """What the contracts' own views say of a maker at block ``at``; ``None`` where one reverted.

    Attributes:
        value: Account value, 1e-18.
        requirement: What it has to be, 1e-18.
        at: The block.
        seizable: Whether its collateral may be sold; ``False`` without any.
        settlement: ``getSettlementTokenValue``, base units; negative for a debt.
        most: The most of each token that is accepted, by token; empty without any of them.
    """

    value: BigInt | None
    requirement: BigInt | None
    at: int
    seizable: bool | None = False
    settlement: BigInt | None = None
    most: tuple[tuple[Address, Most | None], ...] = ()


class State:
    """The tables. Keys are addresses, joined: base and account, token and account."""

    def __init__(self) -> None:
        tables = self.tables = Tables(LEDGER_VERSION)
        one, two = ADDRESS_LENGTH, 2 * ADDRESS_LENGTH
        self.block = tables.table("block", 1, StructColumn(BlockRow))
        self.config = tables.table("config", 1, StructColumn(Config))
        self.terms = tables.table("terms", 1, StructColumn(Terms))
        self.thresholds = tables.table("thresholds", one, StructColumn(Amount))
        self.paused = tables.table("paused", one, UnsignedColumn(1))
        self.markets = tables.table("markets", one, StructColumn(Market))
        self.ticks = tables.table("ticks", one, StructColumn(Ticks))
        self.collaterals = tables.table("collaterals", one, StructColumn(Collateral))
        self.indexes = tables.table("indexes", one + INTERVAL_LENGTH, StructColumn(ReadRow))
        self.marks = tables.table("marks", one, StructColumn(ReadRow))
        self.prices = tables.table("prices", one, StructColumn(ReadRow))
        self.wallet = tables.table("wallet", 1, StructColumn(ReadRow))
        self.positions = tables.table("positions", two, StructColumn(Position))
        self.liquidity = tables.table("liquidity", two, StructColumn(Amount))
        self.makers = tables.table("makers", one, StructColumn(MakerRow))
        self.balances = tables.table("balances", two, StructColumn(Amount))
        self.owed = tables.table("owed", one, StructColumn(Amount))
        self.epochs = tables.table("epochs", one, UnsignedColumn(12))

    @property
    def now(self) -> BlockRow:
        """The block the state stands at."""
        return self.block.get(ONLY_ROW) or BlockRow(-1, 0)

    @property
    def figures(self) -> Config | None:
        """The configuration, ``None`` before it was read."""
        return self.config.get(ONLY_ROW)

    @property
    def sale(self) -> Terms | None:
        """The terms on which collateral is sold, ``None`` before they were read."""
        return self.terms.get(ONLY_ROW)

    def threshold(self, account: Address) -> int | None:
        """The debt that this account may have, where it is not everyone's."""
        row = self.thresholds.get(account)
        return None if row is None else int(row.value)

    def pledged(self, account: Address) -> list[Address]:
        """The tokens other than the settlement token that an account has deposited, sorted."""
        return [Address(token) for token in sorted(self.collaterals.rows) if self.balance(Address(token), account)]

    def listed(self) -> list[tuple[Address, Market]]:
        """Base tokens and markets, sorted."""
        return [(Address(base), self.markets[base]) for base in sorted(self.markets.rows)]

    def providers(self) -> list[Address]:
        """Everyone who provides liquidity, sorted."""
        return sorted({Address(key[ADDRESS_LENGTH:]) for key in self.liquidity.rows})

    def balance(self, token: Address, account: Address) -> int:
        """An account's deposit of a token, base units; negative for a debt."""
        row = self.balances.get(token + account)
        return 0 if row is None else int(row.value)

    def owed_to(self, account: Address) -> int:
        """An account's realized profit that was not settled yet, 1e-18."""
        row = self.owed.get(account)
        return 0 if row is None else int(row.value)

    def mark_epoch(self, account: Address, log_index: int) -> None:
        """Remember that this log of the current block changed an account."""
        self.epochs.set(account, self.now.number << _EPOCH_SHIFT | log_index)

    def epoch(self, account: Address) -> tuple[int, int]:
        """Return block number and log index of the last change of an account; zeros for none."""
        packed = self.epochs.get(account) or 0
        return packed >> _EPOCH_SHIFT, packed & (1 << _EPOCH_SHIFT) - 1


def index_key(base: Address, interval: int) -> bytes:
    """Return the key of a market's index price, averaged over an interval (seconds)."""
    return base + interval.to_bytes(INTERVAL_LENGTH, "big")
