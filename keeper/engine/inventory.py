"""What a signer holds until it is sold, and the returns that its venues' own prices have had in the journal.

A holding is a token that the signer was last read to have, or a position that it took over. Prices are sampled while a
journal is replayed: at the first block of each bar of time, as the venue itself knew them then. What a reorganisation
takes back stays sampled: a price that was once seen was possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from keeper.core.facts import SignerRead
from keeper.core.ids import Address, to_hex
from keeper.core.units import BaseAmount, TokenAmount
from keeper.core.venue import Ledger
from keeper.risk.inputs import Floats
from keeper.risk.passage import inventory_shortfall
from keeper.risk.tail import WINDOW_DAYS, fhs_scenarios

UNPRICED = "no venue of its chain has a price for it"
ROUNDED = 10**6
"""A balance that a venue values at less than so many of its smallest units is valued by more of it, and divided."""


class Held(NamedTuple):
    """One thing that a signer holds.

    Attributes:
        chain_id: Where.
        venue: Whose price values it, and whose record of prices it has; empty where nobody has one.
        asset: The token, or the market of a position.
        amount: In smallest units; negative for a short position.
        value_usd: At the venue's price; ``None`` where nobody has one.
        position: Whether it is a position that was taken over.
        reprices: Whether the venue asks an oracle for its price, or takes one for granted.
    """

    chain_id: int
    venue: str
    asset: Address
    amount: int
    value_usd: float | None
    position: bool
    reprices: bool


class PriceBars:
    """Prices of venues' assets by bars of time: those at the first block that was seen of each bar."""

    def __init__(self, bar_seconds: int) -> None:
        self.bar_seconds = bar_seconds
        self._bars: dict[int, dict[tuple[str, Address], int]] = {}
        self._seen: set[tuple[str, int]] = set()

    def look(self, ledger: Ledger, now_seconds: int) -> None:
        """Take a venue's prices at a head, where it is the first of a bar."""
        bar = now_seconds // self.bar_seconds
        if (ledger.name, bar) in self._seen:
            return
        self._seen.add((ledger.name, bar))
        prices = self._bars.setdefault(bar, {})
        for each in ledger.asset_prices():
            if each.price:
                prices[ledger.name, each.asset] = int(each.price)

    def returns(self, assets: Sequence[tuple[str, Address]]) -> Floats:
        """Return log returns (N, k) of these assets, oldest first: between bars that are neighbours and have them all.

        They begin where each that ever moves has moved, since a variance cannot begin with nothing.

        Args:
            assets: At least one, each with its venue's name.
        """
        rows = [row for bar in sorted(self._bars) if (row := self._return(bar, assets)) is not None]
        moved = np.array(rows, np.float64).reshape(-1, len(assets))
        first = [int(np.argmax(column != 0)) for column in moved.T if np.any(column)]
        return moved[max(first, default=0) :]

    def _return(self, bar: int, assets: Sequence[tuple[str, Address]]) -> list[float] | None:
        before, now = self._bars.get(bar - 1, {}), self._bars[bar]
        if not all(each in before and each in now for each in assets):
            return None
        return [float(np.log(now[each] / before[each])) for each in assets]


class HeldShortfall(msgspec.Struct, frozen=True, kw_only=True):
    """What one holding is expected to lose in the worst cases while it is held, by itself, USD.

    ``moves`` says whose returns it has: the journal's, a coin's daily ones, or none where its venue takes its price for
    granted. Without a value there is a ``reason``.
    """

    chain_id: int
    venue: str
    asset: str
    position: bool
    amount: str
    value_usd: float | None
    moves: str
    shortfall_usd: float | None
    reason: str | None


def holdings_of(ledgers: Mapping[str, Ledger], readings: Sequence[SignerRead], signer: Address) -> list[Held]:
    """Return what a signer holds: tokens of which it was read to have some, and its positions at every venue.

    Args:
        ledgers: The venues; one that comes earlier values a token that several know.
        readings: The signer's last readings, one for each chain.
        signer: Its address.
    """
    found: list[Held] = []
    for reading in readings:
        own = [ledger for ledger in ledgers.values() if ledger.chain_id == reading.chain_id]
        balances = {each.token: int(each.balance) for each in reading.holdings}
        found += [_held(own, reading.chain_id, token, amount) for token, amount in balances.items() if amount]
        found += [each for ledger in own for each in _positions(ledger, signer)]
    return found


def _held(ledgers: Sequence[Ledger], chain_id: int, token: Address, amount: int) -> Held:
    for ledger in ledgers:
        value = _value_usd(ledger, token, amount)
        if value is not None:
            reprices = any(each.asset == token for each in ledger.asset_prices())
            return Held(chain_id, ledger.name, token, amount, value, position=False, reprices=reprices)
    return Held(chain_id, "", token, amount, None, position=False, reprices=True)


def _positions(ledger: Ledger, signer: Address) -> Iterator[Held]:
    for market, size in () if ledger.takeovers is None else ledger.takeovers.held(signer):
        value = _value_usd(ledger, market, abs(int(size)))
        signed = value if value is None or size > 0 else -value
        yield Held(ledger.chain_id, ledger.name, market, int(size), signed, position=True, reprices=True)


def _value_usd(ledger: Ledger, token: Address, amount: int) -> float | None:
    value = ledger.value_base(token, TokenAmount(amount * ROUNDED))
    return None if value is None else int(value) / BaseAmount.ONE / ROUNDED


def recorded_scenarios(held: Sequence[Held], bars: PriceBars, shortest: int) -> Floats | None:
    """Return scenarios (N, k) of the holdings' own prices by filtered historical simulation, one bar ahead.

    What did not move, and what its venue takes for granted, does not move in them. ``None`` where the journal has fewer
    returns than the shortest history.
    """
    moving = [place for place, each in enumerate(held) if each.reprices]
    if not moving:
        return _filtered(np.empty((0, 0)), moving, len(held))
    returns = bars.returns([(held[place].venue, held[place].asset) for place in moving])
    return None if len(returns) < shortest else _filtered(returns, moving, len(held))


def daily_scenarios(coins: Sequence[str | None], daily_returns: Mapping[str, Floats]) -> Floats:
    """Return scenarios (N, k) of holdings that move as these coins do, a day ahead; ``None`` is what does not move."""
    moving = [place for place, coin in enumerate(coins) if coin is not None]
    columns = [daily_returns[coin] for coin in coins if coin is not None]
    returns = np.column_stack(columns) if columns else np.empty((0, 0))
    return _filtered(returns, moving, len(coins))


def _filtered(returns: Floats, moving: Sequence[int], count: int) -> Floats:
    live = [place for place in range(len(moving)) if np.any(returns[:, place])]
    window = min(WINDOW_DAYS, len(returns))
    scenarios = np.zeros((window if live else 2, count))
    if live:
        scenarios[:, [moving[place] for place in live]] = fhs_scenarios(returns[:, live], window=window)
    return scenarios


def shortfalls(
    held: Sequence[Held],
    moves: Sequence[str],
    scenarios: Floats,
    *,
    horizon_seconds: float,
    level: float,
    scenario_seconds: float,
) -> tuple[list[HeldShortfall], float]:
    """Return each holding's expected shortfall by itself, and that of all that have a value jointly, USD.

    Args:
        held: The holdings.
        moves: Whose returns each has, in words.
        scenarios: (N, k) log returns of the holdings.
        horizon_seconds: Until all is sold.
        level: The confidence.
        scenario_seconds: Over which a scenario's return is.

    Raises:
        RiskInputError: a number is out of range.
    """
    values = np.array([each.value_usd or 0.0 for each in held])
    alone = [
        inventory_shortfall(values[place], scenarios[:, place], horizon_seconds, level, scenario_seconds)
        for place in range(len(held))
    ]
    jointly = inventory_shortfall(values, scenarios, horizon_seconds, level, scenario_seconds)
    rows = [
        HeldShortfall(
            chain_id=each.chain_id,
            venue=each.venue,
            asset=to_hex(each.asset),
            position=each.position,
            amount=str(each.amount),
            value_usd=each.value_usd,
            moves=moves[place],
            shortfall_usd=None if each.value_usd is None else alone[place],
            reason=UNPRICED if each.value_usd is None else None,
        )
        for place, each in enumerate(held)
    ]
    return rows, jointly
