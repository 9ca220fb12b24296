"""Who else is on the chain: prices, borrowers, interest, a rival, and whoever funds the signer."""

from __future__ import annotations

from random import Random

import msgspec

from keeper.core.ids import Address
from keeper.core.units import Wad
from keeper.lab.simulator import market
from keeper.lab.simulator.chain import NOISE
from keeper.lab.simulator.faults import Chaos
from keeper.lab.simulator.market import ETH, EUR, FEED, GOLD, NATIVE, POOL, USD, State
from keeper.lab.simulator.streams import Streams
from keeper.lab.simulator.transactions import Transaction, others

TOKEN = 10**4
"""Base units of a whole token."""
UNIT = 10**8
GWEI = 10**9
ANCHORS = {USD: UNIT // TOKEN, EUR: UNIT // TOKEN, ETH: 2000 * UNIT // TOKEN, GOLD: 1500 * UNIT // TOKEN}
RIVAL = Address(b"\xee" * 20)
RICH = 10**12 * TOKEN
ACCOUNTS = tuple(Address(bytes((0xA0 + index,)) * 20) for index in range(6))
ORACLE = Address(b"\x0a" * 20)


def genesis(signer: Address, native_wei: int) -> State:
    """Return the state that a world begins with: everybody's means."""
    state = State()
    for owner in (signer, RIVAL):
        for token in market.TOKENS:
            state.tokens[owner + token] = RICH
    for token in market.TOKENS:
        state.allowed[RIVAL + token] = RICH
    state.native = {signer: native_wei}
    return state


def opening(chance: Random) -> list[Transaction]:
    """Return what the first block holds: the feed, the prices, and every account's position."""
    calls: list[tuple[object, ...]] = [("feed", FEED)]
    calls += [("price", token, price) for token, price in ({**ANCHORS, NATIVE: 2000 * UNIT}).items()]
    for account in ACCOUNTS:
        collateral, debt = chance.choice([(ETH, USD), (ETH, EUR), (GOLD, USD), (GOLD, EUR), (ETH, GOLD)])
        held = chance.randint(5, 20) * TOKEN
        health = chance.uniform(1.05, 1.4)
        owed = int(held * ANCHORS[collateral] * market.THRESHOLD_BPS[collateral] / 10_000 / health / ANCHORS[debt])
        calls += [("move", account, collateral, held, 0), ("move", account, debt, 0, owed)]
    return [_act(ORACLE, call, 0, "opening", index) for index, call in enumerate(calls)]


class Actors:
    """Draws what other people do in each block.

    Args:
        streams: The run's chance.
        chaos: Strikes rivals and bounces.
    """

    def __init__(self, streams: Streams, chaos: Chaos) -> None:
        self._prices = streams.of("prices")
        self._users = streams.of("users")
        self._rivals = streams.of("rivals")
        self._chaos = chaos
        self._bounced: list[tuple[Address, int]] = []
        self._serial = 0

    def acts(self, state: State, *, contested: bool = False) -> list[Transaction]:
        """Return the transactions of other people in a block on a state; none in the calm, but noise.

        Args:
            state: Of the parent.
            contested: A rival is sure to be there.
        """
        if self._chaos.is_calm:
            return [self._tx(NOISE, ("noise",), 0, to=NOISE)] if self._users.random() < 0.3 else []
        return [*self._price_acts(state), *self._user_acts(state), *self._rival_acts(state, contested=contested)]

    def _price_acts(self, state: State) -> list[Transaction]:
        acts = [self._price(token, price) for token, price in self._bounced]
        self._bounced = []
        if self._prices.random() < 0.35:
            token = self._prices.choice((ETH, ETH, EUR, GOLD))
            fresh = int(state.prices[token] * self._prices.uniform(0.88, 1.1))
            anchor = ANCHORS[token]
            acts.append(self._price(token, min(max(fresh, anchor * 6 // 10), anchor * 13 // 10)))
        if self._chaos.strikes("bounce"):
            token = self._prices.choice((ETH, GOLD))
            self._bounced.append((token, state.prices[token]))
            acts.append(self._price(token, state.prices[token] * 8 // 10))
        return acts

    def _user_acts(self, state: State) -> list[Transaction]:
        acts = []
        if self._users.random() < 0.25:
            account = self._users.choice(ACCOUNTS)
            token, position = self._users.choice(sorted(state.of(account).items()))
            share = self._users.randint(1, 20)
            collateral = position.collateral * share // 100
            debt = position.debt * self._users.choice((-share, share)) // 100
            acts.append(self._tx(account, ("move", account, token, collateral, debt), self._users.randint(0, 3) * GWEI))
        if self._users.random() < 0.1:
            acts.append(self._tx(ORACLE, ("accrue", self._users.choice((USD, EUR)), self._users.randint(1, 50)), 0))
        if self._users.random() < 0.3:
            acts.append(self._tx(NOISE, ("noise",), 0, to=NOISE))
        if self._users.random() < 0.05:
            acts.append(self._tx(ORACLE, ("give", ACCOUNTS[0], USD, TOKEN), 0))
        return acts

    def _rival_acts(self, state: State, *, contested: bool) -> list[Transaction]:
        unsafe = [account for account in ACCOUNTS if (state.health(account) or Wad.ONE) < Wad.ONE]
        if not unsafe or not (self._chaos.strikes("rival") or contested):
            return []
        account = self._rivals.choice(unsafe)
        tokens = state.of(account)
        debts = [token for token, position in tokens.items() if position.debt]
        held = [token for token, position in tokens.items() if position.collateral]
        if not debts or not held:
            return []
        debt, collateral = self._rivals.choice(debts), self._rivals.choice(held)
        most = market.STANDARD.cover_max(tokens, state.prices, debt, collateral)
        cover = most * self._rivals.randint(20, 100) // 100
        tip = self._rivals.choice((0, 1, 5, 50)) * GWEI
        return [self._tx(RIVAL, ("liquidate", account, debt, collateral, cover), tip)]

    def fund(self, signer: Address, wei: int) -> Transaction:
        """Return a transaction that gives the signer native coin."""
        return self._tx(ORACLE, ("give", signer, NATIVE, wei), 0)

    def drain(self, signer: Address, wei: int) -> Transaction:
        """Return a transaction that leaves the signer no more native coin than so much."""
        return self._tx(ORACLE, ("drain", signer, wei), 0)

    def _price(self, token: Address, price: int) -> Transaction:
        return self._tx(ORACLE, ("price", token, max(1, price)), self._prices.choice((0, 10, 100)) * GWEI)

    def _tx(self, sender: Address, call: tuple[object, ...], tip_wei: int, to: Address = POOL) -> Transaction:
        self._serial += 1
        return _act(sender, call, tip_wei, "act", self._serial, to=to)


def _act(sender: Address, call: tuple[object, ...], tip_wei: int, *salt: int | str, to: Address = POOL) -> Transaction:
    return others(sender, to, msgspec.msgpack.encode(call), tip_wei, *salt)
