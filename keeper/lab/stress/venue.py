"""The lending venue of the laboratory: the simulator's pool and ledger, with terms that a policy sets and moves.

Two coins are collateral, dollars are owed. The pool tells of everything in logs, and the ledger that the shipped engine
opens is a fold over them. It departs from the simulator's in two things, for speed: it finds its suspects by a product
of arrays, and works out once a block what all previews of an account have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from keeper.core.facts import BackfilledBlock, BlockHeader, RawLog, ReadRequest
from keeper.core.ids import Address
from keeper.core.runconfig import VenueSpec
from keeper.core.units import BaseAmount, Bps, Rounding, TokenAmount, Wad, mul_div
from keeper.core.venue import LiquidationSeen, Preview
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.market import ETH, NATIVE, POOL, TOPIC, USD, Emitted, Position, State, Terms, Tokens, sums
from keeper.lab.stress.policies import Policy
from keeper.margin.sizing import target_cover_base
from keeper.risk.auctions import linear_decrease
from keeper.risk.inputs import Bools, Floats
from keeper.venues.tables import UnsignedColumn

BTC = Address(b"\x06" * 20)
COIN_TOKENS = (BTC, ETH)
"""In the order of :data:`keeper.lab.stress.crashes.COINS`."""
LISTED = (USD, BTC, ETH)
COIN_UNITS, USD_UNITS = 10**4, 10**2
"""The smallest parts of a coin and of a dollar."""
LIQUIDATION_GAS = 400_000
BONUS_BPS = 10_500
WHOLE_BELOW_USD = 2_000.0
"""A debt of less may be repaid whole, as on Aave v3.3."""
WHOLE_HEALTH = Wad(95 * 10**16)
"""Below this health all of a debt may be repaid where the close factor binds, as on Aave v3."""
DUTCH_SECONDS = 21_600.0
"""How long a Dutch auction's price would take to fall to nothing (the linear decrease of Maker's abacus)."""
DUTCH_BONUS_MAX_BPS = 11_500
NEARLY = 1 + 1e-9
"""Arrays of floats may miss the exact line by so much; what they suspect is judged by integers."""


class PoolTerms(Terms, frozen=True):
    """An account's terms.

    ``target`` is the health that a call may restore, ``None`` where only the close factor counts.
    """

    target: Wad | None
    whole_below_base: int

    def cover_max(
        self, tokens: Tokens, prices: Mapping[bytes, int], debt_asset: Address, collateral_asset: Address
    ) -> int:
        """Return the most that may be repaid of a debt at once."""
        owed = tokens[debt_asset].debt
        whole = super().cover_max(tokens, prices, debt_asset, collateral_asset)
        if owed * prices[debt_asset] <= self.whole_below_base or not owed:
            return owed
        _, weighted, debt = sums(tokens, prices, self)
        health = Wad(weighted * Wad.ONE // debt)
        if self.target is None:
            return owed if health < WHOLE_HEALTH else whole
        bonus, threshold = Bps(self.bonus_bps[collateral_asset]), Bps(self.threshold_bps[collateral_asset])
        needed = target_cover_base(BaseAmount(debt), health, self.target, bonus, threshold)
        if needed is None:
            return whole
        return min(whole, mul_div(int(needed), 1, prices[debt_asset], Rounding.CEIL))


class Rules:
    """The terms of every account, as thresholds and time make them.

    Args:
        policy: Whose rules.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._made: dict[tuple[int, ...], PoolTerms] = {}

    def terms(self, thresholds_bps: tuple[int, ...], unsafe_seconds: int | None) -> PoolTerms:
        """Return the terms of an account that has been unsafe for so long, ``None`` if it is not known to be."""
        bonus = BONUS_BPS if self._policy.bonus == "fixed" else dutch_bonus_bps(unsafe_seconds or 0)
        key = (*thresholds_bps, bonus)
        if key not in self._made:
            target = self._policy.target_health
            self._made[key] = PoolTerms(
                {USD: 0, **dict(zip(COIN_TOKENS, thresholds_bps, strict=True))},
                dict.fromkeys(LISTED, bonus),
                round(self._policy.close_factor * Bps.ONE),
                None if target is None else Wad(round(target * 10**6) * 10**12),
                round(WHOLE_BELOW_USD * BaseAmount.ONE),
            )
        return self._made[key]


def dutch_bonus_bps(unsafe_seconds: int) -> int:
    """Return what a liquidator is given for each debt repaid: one over the falling price of what is seized, capped."""
    asked = float(linear_decrease(1.0, min(unsafe_seconds, DUTCH_SECONDS / 2), length_seconds=DUTCH_SECONDS))
    return min(DUTCH_BONUS_MAX_BPS, int(Bps.ONE / asked))


class LendingPool(State):
    """The contract: the simulator's, under the rules of a policy."""

    listed = LISTED

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.thresholds_bps: tuple[int, ...] = (0, 0)
        self.unsafe_since: dict[bytes, int] = {}
        self.now_unix = 0
        self._rules = rules

    def terms(self, account: bytes) -> PoolTerms:
        """Return the terms that hold for an account now."""
        since = self.unsafe_since.get(account)
        return self._rules.terms(self.thresholds_bps, None if since is None else self.now_unix - since)

    def require(self, thresholds_bps: tuple[int, ...]) -> list[Emitted]:
        """Set the thresholds."""
        self.thresholds_bps = thresholds_bps
        return [Emitted(POOL, ("thresholds", *thresholds_bps))]

    def price(self, prices_usd: Floats) -> list[Emitted]:
        """Set the prices of the coins, of dollars and of the native coin, which is ether."""
        units = {token: round(price * 10**8 / COIN_UNITS) for token, price in zip(COIN_TOKENS, prices_usd, strict=True)}
        units |= {USD: 10**8 // USD_UNITS, NATIVE: round(float(prices_usd[1]) * 10**8)}
        changed = {token: price for token, price in units.items() if self.prices.get(token) != price}
        self.prices |= {bytes(token): price for token, price in changed.items()}
        return [Emitted(POOL, ("price", token, price)) for token, price in changed.items()]

    def flag(self, account: bytes, *, unsafe: bool) -> list[Emitted]:
        """Note since when an account is unsafe, or that it no longer is."""
        if unsafe:
            self.unsafe_since[account] = self.now_unix
        else:
            self.unsafe_since.pop(account, None)
        return [Emitted(POOL, ("unsafe", account, self.now_unix if unsafe else 0))]

    def write(self, account: bytes, token: Address, collateral: int, debt: int) -> list[Emitted]:
        """Replace an account's position in a token."""
        self.positions[account + token] = Position(collateral, debt)
        return [Emitted(POOL, ("set", account, token, collateral, debt))]


class Book(NamedTuple):
    """Everybody's positions as arrays, in the order of the accounts."""

    accounts: tuple[Address, ...]
    held: Floats
    """(A, 2) coins."""
    owed_usd: Floats
    """(A,)."""

    def health(self, prices_usd: Floats, thresholds: Floats) -> Floats:
        """Return (A,) the ratio of collateral by threshold to debt, infinite without debt."""
        weighted = self.held @ (prices_usd * thresholds)
        infinite = np.full(len(weighted), np.inf)
        return np.asarray(np.divide(weighted, self.owed_usd, out=infinite, where=self.owed_usd > 0))


_BPS, _WAD, _NOTHING = int(Bps.ONE), int(Wad.ONE), TokenAmount(0)


class _Sum(NamedTuple):
    """What previews of an account against one coin have in common, in the units of the pool."""

    cover_max: int
    debt_price: int
    coin_price: int
    bonus: int
    threshold: int
    held: int
    weighted_elsewhere: int
    debt: int


class LendingLedger(SimulatedLedger):
    """The pool as the keeper sees it.

    Args:
        spec: Of the configuration.
        rules: The policy's.
    """

    listed = LISTED

    def __init__(self, spec: VenueSpec, rules: Rules) -> None:
        super().__init__(spec)
        self.liquidation_gas = LIQUIDATION_GAS
        self._rules = rules
        self._thresholds = self._tables.table("thresholds", 1, UnsignedColumn(2))
        self._unsafe = self._tables.table("unsafe", 20, UnsignedColumn(8))
        self._now = 0
        self._sums: dict[bytes, _Sum] = {}
        self._terms: dict[bytes, PoolTerms] = {}
        self._rows: dict[bytes, int] = {}
        self._book = Book((), np.empty((0, len(COIN_TOKENS))), np.empty(0))

    def reads(self, logs: object) -> tuple[ReadRequest, ...]:  # noqa: ARG002 - none whatever they are
        """Nothing has to be read."""
        return ()

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Later changes belong to this block, and its time is that of the terms."""
        self._now = header.timestamp
        self._forget()
        super().begin_block(header)

    def undo_block(self, number: int) -> None:
        """Take back the newest block if it is ``number``."""
        self._forget()
        super().undo_block(number)

    def load(self, state: bytes) -> None:
        """Replace everything."""
        self._forget()
        super().load(state)

    def _forget(self) -> None:
        self._sums.clear()
        self._terms.clear()

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log."""
        self._forget()
        if log.topics[0] == TOPIC and log.address == POOL:
            kind, *fields = msgspec.msgpack.decode(log.data)
            if kind == "thresholds":
                for place, threshold in enumerate(fields):
                    self._thresholds.set(bytes([place]), threshold)
                return None
            if kind == "unsafe":
                self._unsafe.set(fields[0], fields[1] or None)
                return None
        return super().apply_log(log)

    def terms(self, account: bytes) -> PoolTerms:
        """Return the terms that hold for an account at the current block."""
        found = self._terms.get(account)
        if found is None:
            since = self._unsafe.get(account)
            unsafe_seconds = None if since is None else self._now - since
            self._terms[account] = found = self._rules.terms(self._thresholds_now(), unsafe_seconds)
        return found

    def preview(self, account: Address, debt_asset: Address, collateral_asset: Address, cover: TokenAmount) -> Preview:
        """What the contract would do with a cover: the simulator's figures, from what is common to all covers."""
        key = account + debt_asset + collateral_asset
        common = self._sums.get(key)
        if common is None:
            self._sums[key] = common = self._common(account, debt_asset, collateral_asset)
        cover_max, debt_price, coin_price, bonus, threshold, held, weighted_elsewhere, debt = common
        repaid = min(int(cover), cover_max)
        seized = repaid * debt_price * bonus // (_BPS * coin_price)
        if seized > held:
            repaid, seized = min(repaid, -(-held * coin_price * _BPS // (bonus * debt_price))), held
        repaid_base, seized_base = repaid * debt_price, seized * coin_price
        kept = (held - seized) * coin_price * threshold // _BPS
        debt_left = debt - repaid_base
        return Preview(
            debt_asset,
            collateral_asset,
            cover,
            TokenAmount(repaid),
            TokenAmount(seized),
            _NOTHING,  # no part of what is seized is the pool's
            BaseAmount(repaid_base),
            BaseAmount(seized_base),
            BaseAmount(debt_left),
            Wad((weighted_elsewhere + kept) * _WAD // debt_left) if debt_left else None,
            None if repaid > 0 and seized > 0 else "NOTHING_TO_TAKE",
        )

    def _common(self, account: Address, debt_asset: Address, coin: Address) -> _Sum:
        tokens, terms, prices = self._of(account), self.terms(account), self._prices.rows
        _, weighted, debt = sums(tokens, prices, terms)
        held, price, threshold = tokens[coin].collateral, prices[coin], terms.threshold_bps[coin]
        return _Sum(
            terms.cover_max(tokens, prices, debt_asset, coin),
            prices[debt_asset],
            price,
            terms.bonus_bps[coin],
            threshold,
            held,
            weighted - held * price * threshold // Bps.ONE,
            debt,
        )

    def suspects(self) -> tuple[Address, ...]:
        """Whoever is not above the line, by arrays."""
        book = self.book()
        near = self._below_line(book)
        return tuple(book.accounts[row] for row in np.flatnonzero(near))

    def book(self) -> Book:
        """Return everybody's positions at the current block, sorted by account."""
        touched = self._positions.touched()
        if touched is None or any(key[:20] not in self._rows for key in touched):
            accounts = sorted({key[:20] for key in self._positions.rows})
            self._rows = {account: row for row, account in enumerate(accounts)}
            self._book = Book(
                tuple(map(Address, accounts)), np.zeros((len(accounts), len(COIN_TOKENS))), np.zeros(len(accounts))
            )
            touched = set(self._positions.rows)
        for key in touched:
            self._place(key)
        return self._book

    def _place(self, key: bytes) -> None:
        row, token = self._rows[key[:20]], Address(key[20:])
        position = self._positions.get(key) or Position()
        if token == USD:
            self._book.owed_usd[row] = position.debt / USD_UNITS
        else:
            self._book.held[row, COIN_TOKENS.index(token)] = position.collateral / COIN_UNITS

    def _below_line(self, book: Book) -> Bools:
        prices = np.array([self._prices.get(token) or 0 for token in COIN_TOKENS]) * COIN_UNITS / 10**8
        thresholds = np.array(self._thresholds_now()) / Bps.ONE
        return np.asarray((book.owed_usd > 0) & (book.held @ (prices * thresholds) < book.owed_usd * NEARLY))

    def _thresholds_now(self) -> tuple[int, ...]:
        return tuple(self._thresholds.get(bytes([place])) or 0 for place in range(len(COIN_TOKENS)))
