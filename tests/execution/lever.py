"""A contract with one lever, assembled by hand, and the venue it is to the engine.

Its first byte of calldata says what it does: ``PULL`` emits the event that counts as a liquidation, unless the lever is
locked; ``FAIL`` reverts with the rest of the calldata; ``LOCK`` locks the lever.
"""

# ruff: noqa: ARG002 - a venue of one lever needs little of what a Ledger is given

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.margin import MarginBreakdown, MarginKind
from keeper.core.risk import AssetPrice, MoveOf
from keeper.core.units import BaseAmount, TokenAmount
from keeper.core.venue import (
    AccountMargin,
    AuditFinding,
    Call,
    Epoch,
    Health,
    LiquidationSeen,
    Pair,
    Preview,
    Status,
    VenueTotals,
    owed_within,
)

PULL, FAIL, LOCK = b"\x00", b"\x01", b"\x02"
TOPIC = b"\x4c" * 32
LOCKED = bytes.fromhex("0badf00d")
CODE = bytes.fromhex(
    "6000 35 60f8 1c "  # the first byte of the calldata
    "80 6001 14 6040 57 "  # 1: fail
    "6002 14 604e 57 "  # 2: lock
    "6000 54 6055 57 "  # locked?
    f"7f {TOPIC.hex()} 6000 6000 a1 00 "  # pull
    "5b 36 6000 6000 37 6001 36 03 6001 fd "  # fail: revert with what follows the first byte
    "5b 6001 6000 55 00 "  # lock
    f"5b 63 {LOCKED.hex()} 6000 52 6004 601c fd"  # pulled while locked
)


class LeverVenue:
    """A venue whose only account is liquidated whenever its lever is pulled. Implements ``core.venue.Ledger``."""

    protocol = "lever"
    liquidation_gas = 30_000
    takeovers = None
    protections = None
    topics: tuple[bytes, ...] = (TOPIC,)
    margin_kind = MarginKind.ISOLATED

    def __init__(self, name: str, chain_id: int, contract: Address) -> None:
        self.name = name
        self.chain_id = chain_id
        self.contract = contract
        self.spender: Address | None = contract
        self.listed: tuple[Address, ...] = ()
        self.reading = None

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Take a pulled lever for a liquidation."""
        if log.address != self.contract:
            return None
        nothing = TokenAmount(0)
        return LiquidationSeen(
            self.name, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, nothing, nothing, log.tx_hash
        )

    def revert_name(self, data: bytes) -> str:
        """Name the one error of the contract."""
        return "LEVER_LOCKED" if data == LOCKED else data.hex()

    def starts(self, logs: Iterable[RawLog]) -> bool:
        """Nothing does."""
        return False

    def tokens(self) -> tuple[Address, ...]:
        """Return what a test listed."""
        return self.listed

    def watched(self) -> tuple[Address, ...]:
        """Return the contract."""
        return (self.contract,)

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """Find nothing new."""
        return ()

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """Need nothing read."""
        return ()

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Keep nothing of blocks."""

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Keep nothing of reads."""

    def undo_block(self, number: int) -> None:
        """Have nothing to undo."""

    def forget_undo(self, number: int) -> None:
        """Have nothing to forget."""

    def accounts(self) -> tuple[Address, ...]:
        """Have no account with debt: the tests admit intents themselves."""
        return ()

    def owes(self, account: Address) -> bool:
        """Tell whether it is one of the accounts."""
        return account in self.accounts()

    def suspects(self) -> tuple[Address, ...]:
        """Suspect everyone."""
        return self.accounts()

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:
        """Suspect everyone."""
        return self.accounts()

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """Price nothing."""
        return ()

    def totals(self) -> VenueTotals:
        """Count nothing."""
        return VenueTotals(0, BaseAmount(0))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        return owed_within(map(self.margin, self.accounts()), bounds)

    def margin(self, account: Address) -> AccountMargin:
        """Whoever is asked about may be liquidated."""
        nothing = BaseAmount(0)
        return AccountMargin(self.name, account, Epoch(0, 0), Health(Status.LIQUIDATABLE), None, nothing, nothing)

    def breakdown(self, account: Address) -> MarginBreakdown:
        """Know no account."""
        raise NotImplementedError

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Offer nothing."""
        return ()

    def preview(self, account: Address, debt_asset: Address, collateral_asset: Address, cover: TokenAmount) -> Preview:
        """Offer nothing."""
        raise NotImplementedError

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Value nothing."""
        return None

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """Pull the lever."""
        return Call(self.contract, PULL)

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """Need no allowance."""
        raise NotImplementedError

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """Ask nothing."""
        return ()

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Find nothing."""
        return ()

    def dump(self) -> bytes:
        """Have no state."""
        return b""

    def load(self, state: bytes) -> None:
        """Have no state."""
