"""The simulated venue as the keeper sees it: a full :class:`~keeper.core.venue.Ledger` over its logs and one read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address, Hash32
from keeper.core.margin import MarginBreakdown, MarginKind
from keeper.core.risk import AssetPrice, MoveOf
from keeper.core.runconfig import VenueSpec
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount, Wad
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
from keeper.lab.simulator import market
from keeper.lab.simulator.market import POOL, TOKENS, TOPIC, Position, Terms
from keeper.venues.tables import StructColumn, Tables, UnsignedColumn

LISTED = UnsignedColumn(1)
ONLY = b"\x00"
GOLD_READ = ReadRequest(POOL, market.GOLD_PRICE_CALL)


class SimulatedLedger:
    """The venue's state as a fold."""

    listed: tuple[Address, ...] = TOKENS
    """The tokens that accounts may hold."""

    def __init__(self, spec: VenueSpec) -> None:
        self.protocol = "simulated"
        self.margin_kind = MarginKind.CROSS
        self.topics: tuple[bytes, ...] = (TOPIC,)
        self.liquidation_gas = market.LIQUIDATION_GAS
        self.takeovers = None
        self.protections = None
        self.name = spec.name
        self.chain_id = spec.chain_id
        self._tables = Tables()
        self._prices = self._tables.table("prices", 20, UnsignedColumn(16))
        self._feeds = self._tables.table("feeds", 20, LISTED)
        self._positions = self._tables.table("positions", 40, StructColumn(Position))
        self._epochs = self._tables.table("epochs", 20, StructColumn(Epoch))
        self._read_at = self._tables.table("read_at", 20, UnsignedColumn(8))
        self._blocks = self._tables.table("block", 1, UnsignedColumn(8))

    @property
    def reading(self) -> None:
        """It is folded from its logs."""

    @property
    def spender(self) -> Address | None:
        """The pool."""
        return POOL

    @property
    def positions(self) -> dict[bytes, Position]:
        """Every position by account + token, for the oracles."""
        return self._positions.rows

    @property
    def prices(self) -> dict[bytes, int]:
        """Every price by token, for the oracles."""
        return self._prices.rows

    def watched(self) -> tuple[Address, ...]:
        """The pool and the feeds that it named."""
        return tuple(sorted([POOL, *map(Address, self._feeds.rows)]))

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """The feeds that these logs name."""
        named = (msgspec.msgpack.decode(log.data) for log in logs if log.address == POOL)
        return tuple(Address(fields[1]) for fields in named if fields[0] == "feed")

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:  # noqa: ARG002 - the same at every block
        """The price that no log tells."""
        return (GOLD_READ,)

    def starts(self, logs: Iterable[RawLog]) -> bool:  # noqa: ARG002 - no log does
        """Nothing does."""
        return False

    def tokens(self) -> tuple[Address, ...]:
        """The tokens that accounts may hold."""
        return self.listed

    def terms(self, account: bytes) -> Terms:  # noqa: ARG002 - the same for everybody
        """Return the terms that hold for an account at the current block."""
        return market.STANDARD

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Later changes belong to this block."""
        self._tables.begin_block(header.number)
        self._blocks.set(ONLY, header.number)

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log."""
        if log.topics[0] != TOPIC or (log.address != POOL and self._feeds.get(log.address) is None):
            return None
        kind, *fields = msgspec.msgpack.decode(log.data)
        if kind == "price":
            self._prices.set(fields[0], fields[1])
        elif kind == "feed":
            self._feeds.set(fields[0], 1)
        elif kind == "accrued":
            self._accrue(*fields)
        else:
            self._epochs.set(fields[0], Epoch(self._blocks[ONLY], log.log_index))
            if kind == "liquidated":
                return self._liquidated(log.tx_hash, *fields)
            account, token, collateral, debt = fields
            self._positions.set(account + token, Position(collateral, debt))
        return None

    def _accrue(self, token: bytes, bps: int) -> None:
        for key, position in list(self._positions.rows.items()):
            if key[20:] == token:
                self._positions.set(key, market.accrued(position, bps))

    def _liquidated(
        self, tx_hash: Hash32, account: Address, liquidator: Address, debt: Address, collateral: Address, *taken: int
    ) -> LiquidationSeen:
        repaid, seized = taken
        for token, position in market.after(self._of(account), debt, collateral, repaid, seized).items():
            self._positions.set(account + token, position)
        return LiquidationSeen(
            self.name, account, liquidator, debt, collateral, TokenAmount(repaid), TokenAmount(seized), tx_hash
        )

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Fold the price of gold."""
        for read in reads:
            if (read.target, read.calldata) == GOLD_READ_KEY and read.output is not None:
                self._prices.set(market.GOLD, int.from_bytes(read.output, "big") or None)
                self._read_at.set(market.GOLD, self._blocks[ONLY])

    def undo_block(self, number: int) -> None:
        """Take back the newest block if it is ``number``."""
        self._tables.undo_block(number)

    def forget_undo(self, number: int) -> None:
        """Drop the undo of final blocks."""
        self._tables.forget_undo(number)

    def accounts(self) -> tuple[Address, ...]:
        """Every account with debt, sorted."""
        in_debt = dict.fromkeys(key[:20] for key, position in self._positions.rows.items() if position.debt)
        return tuple(Address(account) for account in sorted(in_debt))

    def breakdown(self, account: Address) -> MarginBreakdown:
        """What the account has, by threshold, and what it owes."""
        health = self.margin(account).health
        if health.status is Status.UNKNOWN:
            return MarginBreakdown(self.margin_kind, (), health.reason)
        line = market.bucket(self._of(account), self._prices.rows, self.terms(account))
        return MarginBreakdown(self.margin_kind, (line,))

    def owes(self, account: Address) -> bool:
        """Whether the account has debt."""
        return any(position.debt for position in self._of(account).values())

    def suspects(self) -> tuple[Address, ...]:
        """Nobody but those who are not healthy: the least that may be told."""
        return tuple(each for each in self.accounts() if self.margin(each).health.status is not Status.HEALTHY)

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:  # noqa: ARG002 - nobody is screened here
        """Everyone."""
        return self.accounts()

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """The price of each of the four tokens."""
        found = ((token, self._price(token)) for token in self.listed)
        return tuple(AssetPrice(token, None if price is None else BigInt(price)) for token, price in found)

    def totals(self) -> VenueTotals:
        """Everyone's debts."""
        return VenueTotals.of(map(self.margin, self.accounts()))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        return owed_within(map(self.margin, self.accounts()), bounds)

    def margin(self, account: Address) -> AccountMargin:
        """Exact margin; unknown while a price is missing, or is that of an earlier block."""
        tokens = self._of(account)
        epoch = self._epochs.get(account) or Epoch(0, 0)
        if any(self._price(token) is None for token in tokens):
            health = Health(Status.UNKNOWN, "no price")
            return AccountMargin(self.name, account, epoch, health, None, BaseAmount(0), BaseAmount(0))
        collateral, weighted, debt = market.sums(tokens, self._prices.rows, self.terms(account))
        wad = None if debt == 0 else Wad(weighted * Wad.ONE // debt)
        status = Status.LIQUIDATABLE if wad is not None and wad < Wad(Wad.ONE) else Status.HEALTHY
        return AccountMargin(self.name, account, epoch, Health(status), wad, BaseAmount(collateral), BaseAmount(debt))

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Every debt with every collateral, in order of token."""
        tokens, terms, prices = self._of(account), self.terms(account), self._prices.rows
        return tuple(
            Pair(
                debt,
                collateral,
                TokenAmount(terms.cover_max(tokens, prices, debt, collateral)),
                Bps(terms.bonus_bps[collateral]),
                Bps(terms.threshold_bps[collateral]),
                BaseAmount(tokens[debt].debt * self._prices[debt]),
                BaseAmount(tokens[collateral].collateral * self._prices[collateral]),
            )
            for debt in tokens
            if tokens[debt].debt
            for collateral in tokens
            if tokens[collateral].collateral
        )

    def preview(self, account: Address, debt_asset: Address, collateral_asset: Address, cover: TokenAmount) -> Preview:
        """What the contract would do with a cover."""
        tokens, prices, terms = self._of(account), self._prices.rows, self.terms(account)
        repaid, seized = market.amounts(tokens, prices, debt_asset, collateral_asset, int(cover), terms)
        left = market.after(tokens, debt_asset, collateral_asset, repaid, seized)
        health = market.health_wad(left, prices, terms)
        return Preview(
            debt_asset=debt_asset,
            collateral_asset=collateral_asset,
            cover=cover,
            repaid=TokenAmount(repaid),
            seized=TokenAmount(seized),
            protocol_fee=TokenAmount(0),
            repaid_base=BaseAmount(repaid * prices[debt_asset]),
            seized_base=BaseAmount(seized * prices[collateral_asset]),
            debt_left_base=BaseAmount(market.sums(left, prices, terms)[2]),
            health_after=None if health is None else Wad(health),
            revert=None if repaid > 0 and seized > 0 else "NOTHING_TO_TAKE",
        )

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Amount times price; the wrapped native coin has 18 decimals, other tokens none."""
        price = self._prices.get(token)
        if price is None:
            return None
        return BaseAmount(int(amount) * price // (10**18 if token == market.NATIVE else 1))

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """The call that the contract knows."""
        fields = ("liquidate", account, preview.debt_asset, preview.collateral_asset, int(preview.cover))
        return Call(POOL, msgspec.msgpack.encode(fields))

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """The call that the token knows."""
        return Call(token, msgspec.msgpack.encode(("approve", int(amount).to_bytes(32, "big"))))

    def revert_name(self, data: bytes) -> str:
        """The error's name, which the contract gives in plain letters."""
        return data.decode("ascii", "replace")

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """The contract's own figures of each account."""
        return tuple(ReadRequest(POOL, market.account_call(account)) for account in accounts)

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Compare collateral and debt, in USD 1e-8."""
        findings = []
        for read in reads:
            account = market.account_of(read.calldata)
            known = account is not None and all(token in self._prices.rows for token in self._of(account))
            if account is not None and known and read.output is not None:
                collateral, _, debt = market.sums(self._of(account), self._prices.rows, self.terms(account))
                theirs = (int.from_bytes(read.output[:32], "big"), int.from_bytes(read.output[32:], "big"))
                findings.append(AuditFinding(account, str((collateral, debt)), str(theirs)))
        return tuple(findings)

    def dump(self) -> bytes:
        """The tables."""
        return self._tables.dump()

    def load(self, state: bytes) -> None:
        """Replace everything."""
        self._tables.load(state)

    def _price(self, token: Address) -> int | None:
        is_old = token == market.GOLD and self._read_at.get(token) != self._blocks.get(ONLY)
        return None if is_old else self._prices.get(token)

    def _of(self, account: bytes) -> dict[Address, Position]:
        found = {token: self._positions.get(account + token) for token in self.listed}
        return {token: position for token, position in found.items() if position is not None}


GOLD_READ_KEY = (GOLD_READ.target, GOLD_READ.calldata)
