"""Venues' accounts as a portfolio of the risk engine: what each margin consists of, as quantities at prices in USD.

Everything comes from the breakdown that the venue itself gives of an account (:class:`keeper.core.margin.Bucket`), so
what it leaves out (a supply that secures nothing) is no part of the portfolio either. One contract of an instrument is
one of the token's smallest units, as the chain counts it: decimals are not needed and nothing is rounded. An account
whose margin is unknown, or has a term that is no holding, is told apart with the reason; it never counts as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from keeper.core.ids import Address, to_hex
from keeper.core.margin import ACCOUNT, CUT, Bucket, MarginLine
from keeper.core.units import BaseAmount, TokenAmount
from keeper.core.venue import Ledger
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying

KINDS = {"collateral": Kind.LENDING, "debt": Kind.LENDING, "deposit": Kind.SPOT, "position": Kind.PERPETUAL}
"""What a term of a margin is an instrument of."""
CASH = ("realized profit", "funding")
"""The terms that are money without being anything's price."""
PRICED_UNITS = 10**36
"""So many smallest units are valued to learn the price of one: what the venue rounds off is then nothing."""
PRICE_TOLERANCE = 1e-7
"""By how much a term may be off its asset's price before it is held to have another: an efficiency mode's own."""
ROUNDED_USD = 2e-8
"""A venue rounds a term's value to one of the smallest units; this is two of them in USD."""


class Account(NamedTuple):
    """Whose account at which venue."""

    venue: str
    account: Address


class Unmapped(NamedTuple):
    """An account without figures, and why."""

    venue: str
    account: Address
    reason: str


class Term(NamedTuple):
    """One holding or debt of an account.

    Attributes:
        asset: The token or market.
        kind: What it is an instrument of.
        amount: In smallest units; negative for a debt and a short position.
        price_usd: Of one smallest unit.
        value_usd: Amount times price, as the venue rounds it.
        counted_usd: How much of what the account has left moves with the price: times a relative move of the price in
            USD, what is left changes by; 0 for a deposit, which the venue counts at its face.
        needed_usd: What it adds to the requirement.
    """

    asset: Address
    kind: Kind
    amount: int
    price_usd: float
    value_usd: float
    counted_usd: float
    needed_usd: float


class Statement(NamedTuple):
    """What an account's margin consists of, in USD.

    Attributes:
        terms: The holdings and debts.
        cash_usd: Profits and funding, and less what open positions were entered at.
        surplus_usd: What the venue says is left; below zero the account may be liquidated.
        requirement_usd: What is to be secured.
    """

    terms: tuple[Term, ...]
    cash_usd: float
    surplus_usd: float
    requirement_usd: float


class VenuePortfolio(NamedTuple):
    """Accounts as a portfolio: ``rows[i]`` says whose row ``i`` is; the ``unmapped`` have none."""

    instruments: Instruments
    portfolio: Portfolio
    rows: tuple[Account, ...]
    unmapped: tuple[Unmapped, ...]


def portfolio_of(ledgers: Sequence[Ledger], accounts: Iterable[Address] | None = None) -> VenuePortfolio:
    """Return these accounts of these venues as one portfolio; an account that has nothing at a venue has no row there.

    Each asset of a venue is an instrument: what secures or is owed a LENDING, a position a PERPETUAL with its entry in
    cash, a deposit of what the venue settles in a SPOT. Its underlying is the token, whichever venue holds it. An
    account's row is worth what its equity is before it is weighed.

    Args:
        ledgers: The venues, each at its own head.
        accounts: Whose; everyone with debt when left out.
    """
    asked = None if accounts is None else tuple(accounts)
    contracts: dict[str, Contract] = {}
    underlyings: dict[str, Underlying] = {}
    rows, holdings, unmapped = [], [], []
    for ledger in ledgers:
        prices: dict[Address, float | None] = {}
        for account in ledger.accounts() if asked is None else asked:
            found = statement_of(ledger, account, prices)
            if isinstance(found, Unmapped):
                unmapped.append(found)
            elif found.terms or found.cash_usd:
                rows.append(Account(ledger.name, account))
                holdings.append((_held(ledger.name, found, prices, contracts, underlyings), found.cash_usd))
    instruments = Instruments.of(list(contracts.values()), list(underlyings.values()))
    return VenuePortfolio(instruments, Portfolio.of(instruments, holdings), tuple(rows), tuple(unmapped))


def statement_of(
    ledger: Ledger, account: Address, prices: dict[Address, float | None] | None = None
) -> Statement | Unmapped:
    """Return what an account's margin consists of in USD, or why that cannot be told.

    Args:
        ledger: The venue.
        account: Whose.
        prices: Prices of the venue's assets that were found before (of one smallest unit, USD); others are added.
    """
    known: dict[Address, float | None] = {} if prices is None else prices
    breakdown = ledger.breakdown(account)
    if breakdown.unknown is not None:
        return Unmapped(ledger.name, account, breakdown.unknown)
    buckets = [each for each in breakdown.buckets if each.name == ACCOUNT] or breakdown.buckets
    terms: list[Term] = []
    cash = 0.0
    for bucket in buckets:
        for line in bucket.lines:
            if line.asset is not None and line.item in KINDS:
                term = _term(ledger, bucket, line, line.asset, known)
                if term is None:
                    return Unmapped(ledger.name, account, f"the price of {to_hex(line.asset)} is zero")
                if term.amount:
                    terms.append(term)
            elif line.item not in (CUT, *CASH) and (line.value or line.requirement):
                return Unmapped(ledger.name, account, f"its margin is not told in holdings: {line.item}")
            cash += _cash_usd(bucket, line)
    surplus = sum(_usd(bucket, bucket.surplus) for bucket in buckets)
    requirement = sum(_usd(bucket, bucket.requirement) for bucket in buckets)
    return Statement(tuple(terms), cash, surplus, requirement)


def price_usd(ledger: Ledger, asset: Address) -> float | None:
    """Return what one smallest unit of a token is worth at a venue, USD; ``None`` when that is unknown."""
    value = ledger.value_base(asset, TokenAmount(PRICED_UNITS))
    return None if value is None else int(value) / BaseAmount.ONE / PRICED_UNITS


def _term(
    ledger: Ledger, bucket: Bucket, line: MarginLine, asset: Address, prices: dict[Address, float | None]
) -> Term | None:
    """Return a line's holding, at the venue's price unless the line has another; ``None`` where the price is zero."""
    amount, value = int(line.amount), _usd(bucket, line.value)
    if asset not in prices:
        prices[asset] = price_usd(ledger, asset)
    price = prices[asset]
    if price is None or abs(value - amount * price) > ROUNDED_USD + PRICE_TOLERANCE * abs(value):
        price = float(f"{value / amount:.9g}") if amount else price
    if amount and not price:
        return None
    kind, needed = KINDS[line.item], _usd(bucket, line.requirement)
    counted = _usd(bucket, line.exposure) if kind is Kind.PERPETUAL else _usd(bucket, line.equity) - needed
    return Term(asset, kind, amount, price or 0.0, value, 0.0 if kind is Kind.SPOT else counted, needed)


def _cash_usd(bucket: Bucket, line: MarginLine) -> float:
    """Return what a line is besides a quantity at a price: money, or what a position was entered at."""
    if line.item in CASH:
        return _usd(bucket, line.value)
    return _usd(bucket, line.equity - line.value) if KINDS.get(line.item) is Kind.PERPETUAL else 0.0


def _usd(bucket: Bucket, amount: int) -> float:
    return int(amount) * int(bucket.unit_base) / (int(bucket.scale) * BaseAmount.ONE)


def _held(
    venue: str,
    statement: Statement,
    prices: dict[Address, float | None],
    contracts: dict[str, Contract],
    underlyings: dict[str, Underlying],
) -> dict[str, float]:
    """Return an account's quantities by instrument; instruments and underlyings that are new are added."""
    held: dict[str, float] = {}
    for term in statement.terms:
        name, token = f"{venue} {term.kind.name.lower()} {to_hex(term.asset)}", to_hex(term.asset)
        if term.price_usd != prices[term.asset]:
            name += f" at {term.price_usd!r}"
        underlyings.setdefault(token, Underlying(name=token, spot_usd=term.price_usd))
        contract = Contract(name=name, kind=term.kind, underlying=token, mark_price_usd=term.price_usd)
        contracts.setdefault(name, contract)
        held[name] = held.get(name, 0.0) + term.amount
    return held
