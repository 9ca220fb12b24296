"""A venue simple enough to check by hand: linear, exact, without interest. It implements ``core.venue.Ledger`` fully.

Values are ``amount * price`` in USD 1e-8. A log is msgpack of ``[kind, ...]``: ``["set", account, token, collateral,
debt]``, ``["price", token, price]`` or ``["liquidated", account, liquidator, debt, collateral, repaid, seized]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address, Hash32
from keeper.core.margin import ACCOUNT, Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.protection import ProtectionView
from keeper.core.risk import AssetPrice, MoveOf
from keeper.core.runconfig import VenueSpec
from keeper.core.takeover import TakeoverView
from keeper.core.units import BaseAmount, BigInt, Bps, Rounding, TokenAmount, Wad, mul_div
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
from keeper.venues.tables import StructColumn, Tables, UnsignedColumn

POOL = Address(b"\x99" * 20)
USD = Address(b"\x01" * 20)
EUR = Address(b"\x02" * 20)
ETH = Address(b"\x03" * 20)
GOLD = Address(b"\x04" * 20)
NATIVE = Address(b"\x05" * 20)
TOKENS = (USD, EUR, ETH, GOLD)
TOPIC = b"\x77" * 32
THRESHOLD_BPS = {USD: 9000, EUR: 9000, ETH: 8000, GOLD: 7000}
BONUS_BPS = {USD: 10_200, EUR: 10_200, ETH: 10_500, GOLD: 11_000}
CLOSE_FACTOR_BPS = 5000
ONLY_ROW = b"\0"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Collateral and debt of one account in one token, as a change when it is added."""

    collateral: int = 0
    debt: int = 0


class ToyLedger:
    """The venue. Slices of less than ``refuse_below`` tokens revert, and those of ``refuse_from`` or more."""

    def __init__(self, spec: VenueSpec) -> None:
        self.protocol = "toy"
        self.margin_kind = MarginKind.CROSS
        self.topics: tuple[bytes, ...] = (TOPIC,)
        self.liquidation_gas = 100_000
        self.takeovers: TakeoverView | None = None
        self.protections: ProtectionView | None = None
        self.name = spec.name
        self.pool = spec.root
        self.chain_id = spec.chain_id
        self.refuse_below = 0
        self.refuse_from: int | None = None
        self._tables = Tables()
        self._prices = self._tables.table("prices", 20, UnsignedColumn(16))
        self._positions = self._tables.table("positions", 40, StructColumn(Position))
        self._epochs = self._tables.table("epochs", 20, StructColumn(Epoch))
        self._block = self._tables.table("block", len(ONLY_ROW), UnsignedColumn(8))

    @property
    def reading(self) -> None:
        """It is folded from its logs."""

    @property
    def spender(self) -> Address | None:
        """The pool."""
        return self.pool

    def watched(self) -> tuple[Address, ...]:
        """The pool."""
        return (self.pool,)

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:  # noqa: ARG002 - nothing is discovered
        """Nothing."""
        return ()

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:  # noqa: ARG002 - nothing is read
        """Nothing."""
        return ()

    def starts(self, logs: Iterable[RawLog]) -> bool:  # noqa: ARG002 - no log does
        """Nothing does."""
        return False

    def tokens(self) -> tuple[Address, ...]:
        """Four tokens."""
        return TOKENS

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Later changes belong to this block."""
        self._tables.begin_block(header.number)
        self._block.set(ONLY_ROW, header.number)

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log of the pool."""
        if log.address != self.pool:
            return None
        kind, *fields = msgspec.msgpack.decode(log.data)
        if kind == "price":
            self._prices.set(fields[0], fields[1])
            return None
        self._epochs.set(fields[0], Epoch(self._block[ONLY_ROW], log.log_index))
        if kind == "set":
            account, token, collateral, debt = fields
            self._positions.set(account + token, Position(collateral, debt))
            return None
        return self._liquidated(log.tx_hash, *fields)

    def _liquidated(
        self,
        tx_hash: Hash32,
        account: Address,
        liquidator: Address,
        debt_asset: Address,
        collateral_asset: Address,
        repaid: int,
        seized: int,
    ) -> LiquidationSeen:
        for token, position in _after(self._of(account), debt_asset, collateral_asset, repaid, seized).items():
            self._positions.set(account + token, position)
        return LiquidationSeen(
            self.name,
            account,
            liquidator,
            debt_asset,
            collateral_asset,
            TokenAmount(repaid),
            TokenAmount(seized),
            tx_hash,
        )

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Nothing is read."""

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
        lines = [line for token, position in self._of(account).items() for line in self._lines(token, position)]
        bucket = Bucket(name=ACCOUNT, unit="USD", scale=BigInt(BaseAmount.ONE), lines=tuple(lines))
        return MarginBreakdown(self.margin_kind, (bucket,))

    def _lines(self, token: Address, position: Position) -> Iterator[MarginLine]:
        price = self._prices[token]
        held, owed = position.collateral * price, position.debt * price
        equity = held * THRESHOLD_BPS[token] // Bps.ONE
        if held:
            amounts = {"value": BigInt(held), "equity": BigInt(equity), "exposure": BigInt(equity)}
            yield MarginLine(item="collateral", asset=token, amount=BigInt(position.collateral), **amounts)
        if owed:
            amounts = {"value": BigInt(-owed), "requirement": BigInt(owed), "exposure": BigInt(-owed)}
            yield MarginLine(item="debt", asset=token, amount=BigInt(-position.debt), **amounts)

    def owes(self, account: Address) -> bool:
        """Whether the account has debt."""
        return account in self.accounts()

    def suspects(self) -> tuple[Address, ...]:
        """Everyone."""
        return self.accounts()

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:  # noqa: ARG002 - nobody is screened here
        """Everyone."""
        return self.accounts()

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """The price of each of the four tokens."""
        found = ((token, self._prices.get(token)) for token in TOKENS)
        return tuple(AssetPrice(token, None if price is None else BigInt(price)) for token, price in found)

    def totals(self) -> VenueTotals:
        """Everyone's debts."""
        return VenueTotals.of(map(self.margin, self.accounts()))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        return owed_within(map(self.margin, self.accounts()), bounds)

    def margin(self, account: Address) -> AccountMargin:
        """Exact margin; unknown while a price is missing."""
        tokens = self._of(account)
        epoch = self._epochs.get(account) or Epoch(0, 0)
        if any(self._prices.get(token) is None for token in tokens):
            health = Health(Status.UNKNOWN, "no price")
            return AccountMargin(self.name, account, epoch, health, None, BaseAmount(0), BaseAmount(0))
        collateral, weighted, debt = self._sums(tokens)
        wad = None if debt == 0 else Wad(weighted * Wad.ONE // debt)
        status = Status.LIQUIDATABLE if wad is not None and wad < Wad(Wad.ONE) else Status.HEALTHY
        return AccountMargin(self.name, account, epoch, Health(status), wad, BaseAmount(collateral), BaseAmount(debt))

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Every debt with every collateral, in order of token."""
        tokens = self._of(account)
        return tuple(
            Pair(
                debt_asset,
                collateral_asset,
                TokenAmount(tokens[debt_asset].debt * CLOSE_FACTOR_BPS // Bps.ONE),
                Bps(BONUS_BPS[collateral_asset]),
                Bps(THRESHOLD_BPS[collateral_asset]),
                BaseAmount(tokens[debt_asset].debt * self._prices[debt_asset]),
                BaseAmount(tokens[collateral_asset].collateral * self._prices[collateral_asset]),
            )
            for debt_asset in tokens
            if tokens[debt_asset].debt
            for collateral_asset in tokens
            if tokens[collateral_asset].collateral
        )

    def preview(self, account: Address, debt_asset: Address, collateral_asset: Address, cover: TokenAmount) -> Preview:
        """What a cover does: seize its value and the bonus, and no more than there is."""
        if int(cover) < self.refuse_below:
            return _refused(debt_asset, collateral_asset, cover, "TOO_SMALL")
        if self.refuse_from is not None and int(cover) >= self.refuse_from:
            return _refused(debt_asset, collateral_asset, cover, "TOO_LARGE")
        tokens = self._of(account)
        repaid, seized = self._amounts(tokens, debt_asset, collateral_asset, int(cover))
        _, weighted, debt_left = self._sums(_after(tokens, debt_asset, collateral_asset, repaid, seized))
        return Preview(
            debt_asset,
            collateral_asset,
            cover,
            TokenAmount(repaid),
            TokenAmount(seized),
            TokenAmount(0),
            BaseAmount(repaid * self._prices[debt_asset]),
            BaseAmount(seized * self._prices[collateral_asset]),
            BaseAmount(debt_left),
            None if debt_left == 0 else Wad(weighted * Wad.ONE // debt_left),
            None,
        )

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Amount times price; the wrapped native coin has 18 decimals, other tokens none."""
        price = self._prices.get(token)
        if price is None:
            return None
        return BaseAmount(int(amount) * price // (10**18 if token == NATIVE else 1))

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """Ask the pool for each account."""
        return tuple(ReadRequest(self.pool, bytes(account)) for account in accounts)

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """The answer is the collateral and the debt as text."""
        return tuple(
            AuditFinding(account, self.figures(account), read.output.decode())
            for read in reads
            if (account := Address(read.calldata)) and read.output is not None
        )

    def figures(self, account: Address) -> str:
        """Collateral and debt of an account, as an audit answers them."""
        margin = self.margin(account)
        return f"{int(margin.collateral_base)} {int(margin.debt_base)}"

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """Readable bytes."""
        return Call(self.pool, b"liquidate" + account + preview.debt_asset + preview.collateral_asset)

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """Readable bytes."""
        return Call(token, b"approve" + int(amount).to_bytes(32, "big"))

    def revert_name(self, data: bytes) -> str:
        """The data itself."""
        return data.hex()

    def dump(self) -> bytes:
        """The tables."""
        return self._tables.dump()

    def load(self, state: bytes) -> None:
        """Replace everything."""
        self._tables.load(state)

    def _of(self, account: bytes) -> dict[Address, Position]:
        found = {token: self._positions.get(account + token) for token in TOKENS}
        return {token: position for token, position in found.items() if position is not None}

    def _amounts(
        self, tokens: dict[Address, Position], debt_asset: Address, collateral_asset: Address, cover: int
    ) -> tuple[int, int]:
        repaid, bonus = min(cover, tokens[debt_asset].debt), BONUS_BPS[collateral_asset]
        debt_price, collateral_price = self._prices[debt_asset], self._prices[collateral_asset]
        seized = mul_div(repaid * debt_price, bonus, Bps.ONE * collateral_price, Rounding.FLOOR)
        held = tokens[collateral_asset].collateral
        if seized <= held:
            return repaid, seized
        return mul_div(held * collateral_price, Bps.ONE, bonus * debt_price, Rounding.CEIL), held

    def _sums(self, tokens: dict[Address, Position]) -> tuple[int, int, int]:
        collateral = weighted = debt = 0
        for token, position in tokens.items():
            value = position.collateral * self._prices[token]
            collateral += value
            weighted += value * THRESHOLD_BPS[token] // Bps.ONE
            debt += position.debt * self._prices[token]
        return collateral, weighted, debt


def _after(
    tokens: dict[Address, Position], debt_asset: Address, collateral_asset: Address, repaid: int, seized: int
) -> dict[Address, Position]:
    after = dict(tokens)
    debt = after.get(debt_asset, Position())
    after[debt_asset] = Position(debt.collateral, debt.debt - repaid)
    collateral = after.get(collateral_asset, Position())
    after[collateral_asset] = Position(collateral.collateral - seized, collateral.debt)
    return after


def _refused(debt_asset: Address, collateral_asset: Address, cover: TokenAmount, revert: str) -> Preview:
    none, nothing = TokenAmount(0), BaseAmount(0)
    return Preview(debt_asset, collateral_asset, cover, none, none, none, nothing, nothing, nothing, None, revert)


def pool_log(log_index: int, tx_hash: Hash32, *fields: object) -> RawLog:
    """Build a log of the pool."""
    return RawLog(POOL, (TOPIC,), msgspec.msgpack.encode(fields), log_index, tx_hash)
