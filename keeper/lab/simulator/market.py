"""The simulated lending venue as a contract: its arithmetic, its state, and what a call does to it.

Linear and exact, so that an oracle can compare to the unit: a value is ``amount * price`` in USD 1e-8, an account is
unsafe when its debt is worth more than its collateral by threshold. What makes a ledger hard is there all the same: a
price that comes from a second contract which is made known by a log (EUR), one that no log tells and that must be read
(GOLD), interest that changes everybody's debt by one log, and four tokens that are collateral and debt at once.

Calldata and log data are msgpack: ``[name, ...]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from keeper.core.ids import Address
from keeper.core.margin import ACCOUNT, Bucket, MarginLine
from keeper.core.units import BaseAmount, BigInt, Bps, Rounding, Wad, mul_div

POOL = Address(b"\x99" * 20)
FEED = Address(b"\x98" * 20)
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
GOLD_PRICE_CALL = msgspec.msgpack.encode(["gold"])
LIQUIDATION_GAS, APPROVAL_GAS, REVERT_GAS, PLAIN_GAS = 90_000, 46_000, 40_000, 21_000


def account_call(account: bytes) -> bytes:
    """Return the calldata of the view that tells an account's collateral and debt."""
    return msgspec.msgpack.encode(["account", account])


def account_of(calldata: bytes) -> Address | None:
    """Return the account that :func:`account_call` asks for; ``None`` when it is another call."""
    head = msgspec.msgpack.encode(["account", b""])[:-1]
    return Address(calldata[-20:]) if calldata.startswith(head[:-1]) else None


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Collateral and debt of one account in one token."""

    collateral: int = 0
    debt: int = 0


class Reverted(Exception):  # noqa: N818 - it names what happened
    """A call that the contract refuses, by the name of its error."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class Emitted(NamedTuple):
    """A log before it has a place in a block."""

    address: Address
    fields: tuple[object, ...]


Tokens = Mapping[Address, Position]


class Terms(msgspec.Struct, frozen=True):
    """What the pool asks for and gives: thresholds and bonuses by token, and how much of a debt one call may repay."""

    threshold_bps: Mapping[Address, int]
    bonus_bps: Mapping[Address, int]
    close_factor_bps: int

    def cover_max(
        self,
        tokens: Tokens,
        prices: Mapping[bytes, int],  # noqa: ARG002 - the debt alone counts
        debt_asset: Address,
        collateral_asset: Address,  # noqa: ARG002 - as above
    ) -> int:
        """Return the most that may be repaid of a debt at once."""
        return tokens[debt_asset].debt * self.close_factor_bps // Bps.ONE


STANDARD = Terms(THRESHOLD_BPS, BONUS_BPS, CLOSE_FACTOR_BPS)
"""The terms of everybody, unless a venue has others."""


def sums(tokens: Tokens, prices: Mapping[bytes, int], terms: Terms = STANDARD) -> tuple[int, int, int]:
    """Return the value of an account's collateral, of the same by threshold, and of its debt."""
    collateral = weighted = debt = 0
    for token, position in tokens.items():
        value = position.collateral * prices[token]
        collateral += value
        weighted += value * terms.threshold_bps[token] // Bps.ONE
        debt += position.debt * prices[token]
    return collateral, weighted, debt


def bucket(tokens: Tokens, prices: Mapping[bytes, int], terms: Terms = STANDARD) -> Bucket:
    """Return what an account has, by threshold, and what it owes."""
    lines = tuple(line for token, position in tokens.items() for line in _lines(token, position, prices[token], terms))
    return Bucket(name=ACCOUNT, unit="USD", scale=BigInt(BaseAmount.ONE), lines=lines)


def _lines(token: Address, position: Position, price: int, terms: Terms) -> Iterator[MarginLine]:
    held, owed = position.collateral * price, position.debt * price
    if held:
        equity = BigInt(held * terms.threshold_bps[token] // Bps.ONE)
        yield MarginLine(
            item="collateral",
            asset=token,
            amount=BigInt(position.collateral),
            value=BigInt(held),
            equity=equity,
            exposure=equity,
        )
    if owed:
        yield MarginLine(
            item="debt",
            asset=token,
            amount=BigInt(-position.debt),
            value=BigInt(-owed),
            requirement=BigInt(owed),
            exposure=BigInt(-owed),
        )


def health_wad(tokens: Tokens, prices: Mapping[bytes, int], terms: Terms = STANDARD) -> int | None:
    """Return an account's health; ``None`` without debt."""
    _, weighted, debt = sums(tokens, prices, terms)
    return None if debt == 0 else weighted * Wad.ONE // debt


def amounts(
    tokens: Tokens,
    prices: Mapping[bytes, int],
    debt_asset: Address,
    collateral_asset: Address,
    cover: int,
    terms: Terms = STANDARD,
) -> tuple[int, int]:
    """Return what a cover repays and what it seizes: its value and the bonus, and no more than there is."""
    repaid = min(cover, terms.cover_max(tokens, prices, debt_asset, collateral_asset))
    bonus = terms.bonus_bps[collateral_asset]
    debt_price, collateral_price = prices[debt_asset], prices[collateral_asset]
    seized = mul_div(repaid * debt_price, bonus, Bps.ONE * collateral_price, Rounding.FLOOR)
    held = tokens[collateral_asset].collateral
    if seized <= held:
        return repaid, seized
    return min(repaid, mul_div(held * collateral_price, Bps.ONE, bonus * debt_price, Rounding.CEIL)), held


def after(tokens: Tokens, debt_asset: Address, collateral_asset: Address, repaid: int, seized: int) -> Tokens:
    """Return an account's positions after a liquidation."""
    changed = dict(tokens)
    debt = changed[debt_asset]
    changed[debt_asset] = Position(debt.collateral, debt.debt - repaid)
    collateral = changed[collateral_asset]
    changed[collateral_asset] = Position(collateral.collateral - seized, collateral.debt)
    return changed


def accrued(position: Position, bps: int) -> Position:
    """Return a position after interest, rounded up."""
    return Position(position.collateral, position.debt + mul_div(position.debt, bps, Bps.ONE, Rounding.CEIL))


class State:
    """Everything the chain holds after a block. A block copies its parent's and changes the copy."""

    listed: tuple[Address, ...] = TOKENS
    """The tokens that accounts may hold."""

    def __init__(self) -> None:
        self.prices: dict[bytes, int] = {}
        self.positions: dict[bytes, Position] = {}
        self.tokens: dict[bytes, int] = {}
        """Holdings by owner + token."""
        self.allowed: dict[bytes, int] = {}
        """What an owner lets the pool take, by owner + token."""
        self.native: dict[Address, int] = {}
        self.nonces: dict[Address, int] = {}

    def copy(self) -> State:
        """Return an equal state that can be changed."""
        copied = State.__new__(State)
        copied.prices, copied.positions = dict(self.prices), dict(self.positions)
        copied.tokens, copied.allowed = dict(self.tokens), dict(self.allowed)
        copied.native, copied.nonces = dict(self.native), dict(self.nonces)
        return copied

    def of(self, account: bytes) -> dict[Address, Position]:
        """Return an account's positions by token."""
        found = {token: self.positions.get(account + token) for token in self.listed}
        return {token: position for token, position in found.items() if position is not None}

    def terms(self, account: bytes) -> Terms:  # noqa: ARG002 - the same for everybody
        """Return the terms that hold for an account now."""
        return STANDARD

    def accounts(self) -> list[Address]:
        """Return every account that has a position, sorted."""
        return sorted({Address(key[:20]) for key in self.positions})

    def health(self, account: Address) -> int | None:
        """Return an account's health; ``None`` without debt."""
        return health_wad(self.of(account), self.prices, self.terms(account))

    def execute(self, sender: Address, to: Address, data: bytes) -> list[Emitted]:
        """Carry out a call.

        Raises:
            Reverted: the contract refuses; nothing has changed.
        """
        if not data:
            return []
        try:
            name, *fields = msgspec.msgpack.decode(data)
            act = _CALLS[name]
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
            raise Reverted("UNKNOWN_CALL") from None
        return act(self, sender, to, *fields)


def _price(state: State, _: Address, __: Address, token: bytes, price: int) -> list[Emitted]:
    state.prices[token] = price
    if token == GOLD:
        return []
    return [Emitted(FEED if token == EUR else POOL, ("price", token, price))]


def _feed(_: State, __: Address, ___: Address, feed: bytes) -> list[Emitted]:
    return [Emitted(POOL, ("feed", feed))]


def _move(
    state: State, _: Address, __: Address, account: bytes, token: bytes, collateral: int, debt: int
) -> list[Emitted]:
    held = state.positions.get(account + token) or Position()
    moved = Position(held.collateral + collateral, held.debt + debt)
    if min(moved.collateral, moved.debt) < 0:
        raise Reverted("NOT_THAT_MUCH")
    state.positions[account + token] = moved
    return [Emitted(POOL, ("set", account, token, moved.collateral, moved.debt))]


def _accrue(state: State, _: Address, __: Address, token: bytes, bps: int) -> list[Emitted]:
    for key, position in state.positions.items():
        if key[20:] == token:
            state.positions[key] = accrued(position, bps)
    return [Emitted(POOL, ("accrued", token, bps))]


def _approve(state: State, sender: Address, to: Address, amount: bytes) -> list[Emitted]:
    if to not in state.listed:
        raise Reverted("NO_TOKEN")
    state.allowed[sender + to] = int.from_bytes(amount, "big")
    return []


def _give(state: State, _: Address, __: Address, owner: bytes, token: bytes, amount: int) -> list[Emitted]:
    if token == NATIVE:
        state.native[Address(owner)] = state.native.get(Address(owner), 0) + amount
    else:
        state.tokens[owner + token] = state.tokens.get(owner + token, 0) + amount
    return []


def _drain(state: State, _: Address, __: Address, owner: bytes, left: int) -> list[Emitted]:
    state.native[Address(owner)] = min(left, state.native.get(Address(owner), 0))
    return []


def _noise(_: State, __: Address, to: Address) -> list[Emitted]:
    return [Emitted(to, ("noise",))]


def _liquidate(
    state: State, sender: Address, _: Address, account: bytes, debt_asset: bytes, collateral_asset: bytes, cover: int
) -> list[Emitted]:
    tokens = state.of(account)
    debt, collateral = Address(debt_asset), Address(collateral_asset)
    terms = state.terms(account)
    health = health_wad(tokens, state.prices, terms)
    if health is None or health >= Wad.ONE:
        raise Reverted("HEALTHY")
    if debt not in tokens or collateral not in tokens:
        raise Reverted("NO_POSITION")
    repaid, seized = amounts(tokens, state.prices, debt, collateral, cover, terms)
    if repaid <= 0 or seized <= 0:
        raise Reverted("NOTHING_TO_TAKE")
    if state.allowed.get(sender + debt, 0) < repaid:
        raise Reverted("NOT_ALLOWED")
    if state.tokens.get(sender + debt, 0) < repaid:
        raise Reverted("NO_FUNDS")
    state.allowed[sender + debt] -= repaid
    state.tokens[sender + debt] -= repaid
    state.tokens[sender + collateral] = state.tokens.get(sender + collateral, 0) + seized
    for token, position in after(tokens, debt, collateral, repaid, seized).items():
        state.positions[account + token] = position
    return [Emitted(POOL, ("liquidated", account, sender, debt, collateral, repaid, seized))]


_CALLS: dict[str, Callable[..., list[Emitted]]] = {
    "price": _price,
    "feed": _feed,
    "move": _move,
    "accrue": _accrue,
    "approve": _approve,
    "give": _give,
    "drain": _drain,
    "noise": _noise,
    "liquidate": _liquidate,
}
