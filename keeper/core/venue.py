"""What a venue can say about an account, in words shared by every protocol, and the views a strategy sees.

``VenueView`` is what a strategy may ask; ``Ledger`` is the whole contract between the engine and a venue. Every
protocol (lending, perpetual, option) implements ``Ledger`` in its own folder under ``keeper.venues``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address, Hash32
from keeper.core.margin import MarginBreakdown, MarginModel
from keeper.core.protection import ProtectionView
from keeper.core.reading import VenueReading
from keeper.core.risk import AssetPrice, MoveOf
from keeper.core.takeover import Takeover, TakeoverView
from keeper.core.units import BaseAmount, Bps, Rounding, TokenAmount, Wad, mul_div


class Status(Enum):
    """Three values, never two: unknown is neither healthy nor liquidatable."""

    HEALTHY = "healthy"
    LIQUIDATABLE = "liquidatable"
    UNKNOWN = "unknown"


class Health(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``Healthy | Liquidatable | Unknown(reason)``; ``reason`` is set only when unknown."""

    status: Status
    reason: str | None = None


class Epoch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, order=True):
    """The version of an account's position: where the last event that changed it stands."""

    block_number: int
    log_index: int


class AccountMargin(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An account's margin at a block. ``health_wad`` is the contract's own figure, ``None`` without debt or unknown."""

    venue: str
    account: Address
    epoch: Epoch
    health: Health
    health_wad: Wad | None
    collateral_base: BaseAmount
    debt_base: BaseAmount


class VenueTotals(msgspec.Struct, frozen=True):
    """Accounts with debt, and all their debt as far as it is known (1e-8; each account's own rounding left out)."""

    accounts: int
    debt_base: BaseAmount

    @classmethod
    def of(cls, margins: Iterable[AccountMargin]) -> VenueTotals:
        """Add up the margins of all accounts."""
        debts = [int(margin.debt_base) for margin in margins]
        return cls(len(debts), BaseAmount(sum(debts)))


def owed_within(margins: Iterable[AccountMargin], bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
    """Add up debts by distance, for :meth:`Ledger.owed_within`, where the margins are all there is."""
    known = [
        (math.log(int(margin.health_wad) / Wad.ONE) if margin.health_wad else -math.inf, margin.debt_base)
        for margin in margins
        if margin.health_wad is not None
    ]
    return tuple(sum((debt for distance, debt in known if distance <= bound), BaseAmount(0)) for bound in bounds)


class Pair(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One debt that may be repaid against one collateral, and the most that the protocol lets be repaid now.

    ``bonus`` is 10000 + the liquidator's discount. ``liquidation_threshold`` is the collateral's, as it counts for
    this account (eMode included). Base values are of the account's whole debt and collateral in these two assets.
    """

    debt_asset: Address
    collateral_asset: Address
    cover_max: TokenAmount
    bonus: Bps
    liquidation_threshold: Bps
    debt_base: BaseAmount
    collateral_base: BaseAmount


class Preview(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the contract would do if this much were covered now, to the wei.

    ``seized`` is what the liquidator receives, ``protocol_fee`` what the treasury takes on top, both in collateral
    tokens. ``health_after`` is ``None`` when no debt is left. ``revert`` is the contract's error when it would refuse;
    the amounts are then zero.

    A position that is taken over (``takeover`` is set) is told in the same words: the debt asset is the quote token and
    the collateral asset the base token, ``cover`` and ``seized`` are sizes, ``repaid`` is their notional at the mark
    price. ``repaid_base`` is that notional: what the taker is exposed to. ``seized_base`` is the notional and the fee.
    What is left of the debt is the margin requirement.
    """

    debt_asset: Address
    collateral_asset: Address
    cover: TokenAmount
    repaid: TokenAmount
    seized: TokenAmount
    protocol_fee: TokenAmount
    repaid_base: BaseAmount
    seized_base: BaseAmount
    debt_left_base: BaseAmount
    health_after: Wad | None
    revert: str | None
    takeover: Takeover | None = None

    def value_base(self, seen: LiquidationSeen) -> tuple[BaseAmount, BaseAmount]:
        """Value what happened (repaid, seized), rounded down.

        The venue ties the value seized to the value repaid, at the prices of the block it happens in. So both go with
        the repaid amount: the tokens seized, at the prices of an earlier block, would tell another profit.
        """
        foreseen = int(self.repaid)
        if not foreseen:
            return BaseAmount(0), BaseAmount(0)
        repaid_base = mul_div(self.repaid_base, seen.repaid, foreseen, Rounding.FLOOR)
        seized_base = mul_div(self.seized_base, seen.repaid, foreseen, Rounding.FLOOR)
        return BaseAmount(repaid_base), BaseAmount(seized_base)


class Call(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A contract call: target and calldata."""

    to: Address
    data: bytes


class LiquidationSeen(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A liquidation that happened, by whomever, read from the venue's own event.

    Of a position that was taken over the assets and amounts are those of :class:`Preview`: quote and base token,
    notional and size.
    """

    venue: str
    account: Address
    liquidator: Address
    debt_asset: Address
    collateral_asset: Address
    repaid: TokenAmount
    seized: TokenAmount
    tx_hash: Hash32


class AuditFinding(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What an audit found of an account: our figures and the venue's own, as text; equal when they agree."""

    account: Address
    ours: str
    theirs: str

    @property
    def agrees(self) -> bool:
        """Whether the figures are the same."""
        return self.ours == self.theirs


class VenueView(Protocol):
    """What a strategy may ask of a venue, at the block that is being decided on."""

    name: str
    liquidation_gas: int

    @property
    def takeovers(self) -> TakeoverView | None:
        """How positions are taken over; ``None`` where liquidators repay debts only."""

    @property
    def protections(self) -> ProtectionView | None:
        """What may be done for an account before it is liquidated; ``None`` where that is not built."""

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Every debt and collateral combination of the account that may be liquidated."""

    def preview(self, account: Address, debt_asset: Address, collateral_asset: Address, cover: TokenAmount) -> Preview:
        """What the contract would do, exactly."""

    def breakdown(self, subject: Address) -> MarginBreakdown:
        """An account's margin term by term, with why there are no figures where there are none."""

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Value an amount of a listed token at the venue's price, rounded down; ``None`` when the price is unknown."""


class Ledger(VenueView, MarginModel[Address], Protocol):
    """A venue's exact state: a fold over raw logs and reads, with undo by block.

    Order of calls for a block: ``begin_block``, then ``apply_log`` for each log in order, then ``apply_reads``.
    """

    protocol: str
    chain_id: int
    topics: tuple[bytes, ...]

    @property
    def spender(self) -> Address | None:
        """The contract that takes the repaid tokens (needs an allowance); ``None`` before it is discovered."""

    @property
    def reading(self) -> VenueReading | None:
        """How the venue is read at one block; ``None`` where it can only be folded from its logs."""

    def watched(self) -> tuple[Address, ...]:
        """The contracts whose logs are needed now, sorted."""

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """The contracts that these logs make necessary, including ones already watched."""

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """The view calls needed at the end of a block that has these logs."""

    def starts(self, logs: Iterable[RawLog]) -> bool:
        """Whether these logs begin what can only be followed from what calls say at the end of their own block."""

    def tokens(self) -> tuple[Address, ...]:
        """The tokens a liquidator may have to repay, in listing order."""

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Start a block; changes from here on belong to it."""

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log. Logs of contracts or topics that are not watched are ignored."""

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Fold the block's reads; those of other venues are ignored."""

    def undo_block(self, number: int) -> None:
        """Take back the newest block, which must be ``number`` or older than it (then nothing is done)."""

    def forget_undo(self, number: int) -> None:
        """Blocks up to ``number`` are final: their undo is dropped."""

    def accounts(self) -> tuple[Address, ...]:
        """Every account with debt, sorted."""

    def owes(self, account: Address) -> bool:
        """Whether the account is one of :meth:`accounts`."""

    def suspects(self) -> tuple[Address, ...]:
        """Every account with debt that is not proven healthy at the current block, sorted; others may be among them.

        Whoever is liquidatable or unknown must be there: nobody else is looked at. The work may grow with what changed
        and with who is near the line, not with the number of accounts.
        """

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:
        """Every account with debt that such moves of all prices, each to its hurt, may put past its line, sorted.

        Others may be among them; the work may grow as that of :meth:`suspects`.
        """

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """What margins move with now, in an order that never changes but by appending."""

    def totals(self) -> VenueTotals:
        """How many accounts have debt, and how much; asked seldom (a scrape, a page), never at each block."""

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """What those accounts owe that are no further from their line than each bound; as seldom asked as the totals.

        A distance is a logarithm of health, so who is below the line is within every bound of zero or more. Nearly
        exact (forms are on the safe side), and without the accounts whose health is unknown.
        """

    def margin(self, account: Address) -> AccountMargin:
        """The account's margin at the current block's timestamp; ``Unknown`` and why where a figure is missing."""

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """The view calls that give the venue's own figures of these accounts."""

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Compare answers to :meth:`audit_reads`, made at the current block, with our own figures.

        An account of which either side has no figure (a revert, a price that is missing) is left out.
        """

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """The transaction that executes a preview."""

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """The transaction that lets the venue take a token from the signer."""

    def revert_name(self, data: bytes) -> str:
        """The contract's name for revert data; the hexadecimal data when it is not known."""

    def dump(self) -> bytes:
        """The whole state, undo included, in one canonical encoding (equal states give equal bytes)."""

    def load(self, state: bytes) -> None:
        """Replace the state by a dump.

        Raises:
            JournalDamaged: the bytes are not a dump of this ledger version.
        """


class StrategyView(Protocol):
    """What a strategy sees when it decides: venues, free inventory, gas, and what a slice must earn."""

    @property
    def signer(self) -> Address:
        """Who would sign."""

    @property
    def profit_base_min(self) -> BaseAmount:
        """The operator's minimum: the gate refuses what earns less."""

    @property
    def spend_base_max(self) -> BaseAmount:
        """What one slice may cost, or expose the signer to."""

    def margin_reserved_base(self, venue: str) -> BaseAmount:
        """What intents in flight may still bind of the signer's free collateral at a venue."""

    def venue(self, name: str) -> VenueView:
        """A venue by its configured name."""

    def inventory(self, token: Address) -> TokenAmount:
        """What one slice may take of a token: held, not reserved by intents in flight, and within the spend limit."""

    def balance(self, token: Address) -> TokenAmount | None:
        """What the signer's wallet holds of a token, reserved or not; ``None`` when it was not read."""

    def gas_cost_base(self, gas: int) -> BaseAmount | None:
        """The cost of that much gas at the head's price; ``None`` when it cannot be valued."""
