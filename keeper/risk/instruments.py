"""What is held: instruments as arrays over U of them, and accounts as sparse rows of quantities over those.

A market is a *struct of arrays*: one place for each instrument in every array, so that a grid prices all of them in one
pass. What an account holds is one row of a compressed matrix (A accounts x U instruments), and its cash.

Conventions. Time to expiry is in years of 31,536,000 seconds. A forward is split as Derive's managers do
(lyra-finance/v2-core, `OptionAsset` feeds): ``F = F_fix + F_var``, and only the variable part moves with spot. Linear
instruments are worth their price, so what was paid for a position stands in the account's cash with its sign: a long
perpetual entered at 2,000 is ``+1`` and ``-2000`` of cash. One contract of an *inverse* (coin-settled) perpetual or
future is one dollar of notional; one of an inverse option is an option on one coin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from math import inf

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, Integers, array, flags, number

VOL_ANNUAL_MAX = 20.0
"""A volatility above 2,000 % a year is one that was given in per cent."""
RATE_ANNUAL_MAX = 10.0
"""And so is an interest rate beyond 1,000 %."""


class Kind(IntEnum):
    """What an instrument is."""

    SPOT = 0
    PERPETUAL = 1
    FUTURE = 2
    OPTION = 3
    LENDING = 4
    """A token supplied (positive) or owed (negative)."""


DATED = (Kind.FUTURE, Kind.OPTION)
"""The kinds that expire."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument, as it is listed.

    Attributes:
        name: What it is called; no two have the same name.
        kind: What it is.
        underlying: The name of what it is on.
        mark_price_usd: What one is worth: of an inverse perpetual or future the price it trades at; unused for an
            option, which is priced from its forward and volatility.
        expiry_years: From now; infinite for what never expires.
        strike_usd: Of an option.
        is_call: Of an option.
        inverse: Whether it is settled in coins of the underlying.
        forward_fixed_usd: The part of the forward that stands still when spot moves; of what expires.
        forward_variable_usd: The part that moves with spot.
        vol_annual: Of an option.
        rate_annual: The interest rate to its expiry.
        confidence: Of its feeds, from 0 to 1.
    """

    name: str
    kind: Kind
    underlying: str
    mark_price_usd: float = 0.0
    expiry_years: float = inf
    strike_usd: float = 0.0
    is_call: bool = False
    inverse: bool = False
    forward_fixed_usd: float = 0.0
    forward_variable_usd: float = 0.0
    vol_annual: float = 0.0
    rate_annual: float = 0.0
    confidence: float = 1.0


class Underlying(msgspec.Struct, frozen=True, kw_only=True):
    """What contracts are on: its name, spot price and the confidence of that price's feed, from 0 to 1."""

    name: str
    spot_usd: float
    confidence: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Instruments:
    """U instruments on N underlyings; the arrays are read-only, of shape (U,) but for the two of the underlyings.

    Attributes:
        names: Of the instruments.
        kind: A :class:`Kind` each.
        underlying: Each one's place among the underlyings.
        mark_price_usd, expiry_years, strike_usd, is_call, inverse, forward_fixed_usd, forward_variable_usd, vol_annual,
            rate_annual, confidence: As :class:`Contract` has them.
        underlyings: The names of the underlyings.
        spot_usd: Their spot prices, shape (N,).
        spot_confidence: Of those prices' feeds, shape (N,).

    Raises:
        RiskInputError: an array is of another length; an instrument that is named has expired, an absurd volatility, a
            negative price or an underlying that is not there; a name is given twice.
    """

    names: tuple[str, ...]
    kind: Integers
    underlying: Integers
    mark_price_usd: Floats
    expiry_years: Floats
    strike_usd: Floats
    is_call: Bools
    inverse: Bools
    forward_fixed_usd: Floats
    forward_variable_usd: Floats
    vol_annual: Floats
    rate_annual: Floats
    confidence: Floats
    underlyings: tuple[str, ...]
    spot_usd: Floats
    spot_confidence: Floats

    def __post_init__(self) -> None:
        """Refuse what gives no price, and shut the arrays."""
        for name in ("kind", "underlying"):
            place = array(name, getattr(self, name), ndim=1, length=len(self))
            self._each(place == np.floor(place), f"has a fraction for its {name}", "give a whole number")
            self._set(name, place.astype(np.int64))
        for name in ("is_call", "inverse"):
            self._set(name, flags(name, array(name, getattr(self, name), ndim=1, length=len(self))))
        for name in ("mark_price_usd", "strike_usd", "forward_fixed_usd", "forward_variable_usd"):
            self._set(name, self._real(name))
        for name in ("vol_annual", "rate_annual", "confidence", "expiry_years"):
            self._set(name, self._real(name))
        count = len(self.underlyings)
        self._set("spot_usd", array("spot_usd", self.spot_usd, ndim=1, length=count, above=0.0))
        confidence = array("spot_confidence", self.spot_confidence, ndim=1, length=count, least=0.0, most=1.0)
        self._set("spot_confidence", confidence)
        self._check()

    @classmethod
    def of(cls, contracts: Sequence[Contract], underlyings: Sequence[Underlying]) -> Instruments:
        """Return the arrays of a listing.

        Raises:
            RiskInputError: as the class says.
        """
        places = {each.name: place for place, each in enumerate(underlyings)}
        for each in contracts:
            if each.underlying not in places:
                raise RiskInputError(each.name, f"is on {each.underlying}, which has no spot price", "give its price")
        columns = {
            field.name: np.array([getattr(each, field.name) for each in contracts])
            for field in msgspec.structs.fields(Contract)
            if field.name not in ("name", "underlying")
        }
        return cls(
            names=tuple(each.name for each in contracts),
            underlying=np.array([places[each.underlying] for each in contracts], np.int64),
            underlyings=tuple(places),
            spot_usd=np.array([each.spot_usd for each in underlyings], np.float64),
            spot_confidence=np.array([each.confidence for each in underlyings], np.float64),
            **columns,
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the place of an instrument.

        Raises:
            RiskInputError: there is none of this name.
        """
        place = self._places.get(name)
        if place is None:
            raise RiskInputError(name, "is not an instrument of this market", "list it first")
        return place

    def replaced(self, **columns: ArrayLike) -> Instruments:
        """Return the same instruments with other values in these arrays, checked anew: the next tick of a market."""
        now = {field.name: getattr(self, field.name) for field in fields(self)}
        return Instruments(**{**now, **columns})

    @cached_property
    def is_option(self) -> Bools:
        """Which are options, shape (U,)."""
        option: Bools = self.kind == Kind.OPTION
        return option

    @cached_property
    def forward_usd(self) -> Floats:
        """Of what expires its forward, of what does not its price; shape (U,), USD."""
        dated = np.isin(self.kind, DATED)
        return np.where(dated, self.forward_fixed_usd + self.forward_variable_usd, self.mark_price_usd)

    @cached_property
    def buckets(self) -> Buckets:
        """The distinct pairs of underlying and expiry, by underlying and then by expiry."""
        return Buckets.by(self.underlying, self.expiry_years)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def _set(self, name: str, values: Floats | Integers | Bools) -> None:
        shut = values.copy()
        shut.setflags(write=False)
        object.__setattr__(self, name, shut)

    def _real(self, name: str) -> Floats:
        values = np.asarray(getattr(self, name), np.float64)
        if name != "expiry_years":
            return array(name, values, ndim=1, length=len(self))
        array(name, np.where(values == inf, 0.0, values), ndim=1, length=len(self))
        return values

    def _check(self) -> None:
        dated, option = np.isin(self.kind, DATED), self.kind == Kind.OPTION
        known = (self.underlying >= 0) & (self.underlying < len(self.underlyings))
        forward = self.forward_fixed_usd + self.forward_variable_usd
        self._each(np.isin(self.kind, list(Kind)), "is of no known kind", "give one of Kind")
        self._each(known, "has no underlying", "give the place of one")
        self._each(~dated | (self.expiry_years > 0), "has expired", "settle it first")
        self._each(~dated | (self.expiry_years < inf), "has no expiry", "give the years to it")
        self._each(dated | (self.expiry_years == inf), "expires, which its kind does not", "leave the expiry infinite")
        self._each(~dated | (forward > 0), "has no positive forward", "give its fixed and its variable part")
        self._each(~option | (self.strike_usd > 0), "has no positive strike", "give its strike in USD")
        usual = (self.vol_annual > 0) & (self.vol_annual <= VOL_ANNUAL_MAX)
        self._each(~option | usual, f"has a volatility outside 0 to {VOL_ANNUAL_MAX:g}", "give it as a fraction a year")
        modest = np.abs(self.rate_annual) <= RATE_ANNUAL_MAX
        self._each(modest, f"has a rate beyond {RATE_ANNUAL_MAX:g}", "give it as a fraction a year")
        self._each(self.mark_price_usd >= 0, "has a negative price", "give its price in USD")
        self._each(dated | (self.mark_price_usd > 0), "has no price", "give its price in USD")
        self._each((self.confidence >= 0) & (self.confidence <= 1), "has a confidence outside 0 to 1", "give a share")
        if len(self._places) < len(self):
            twice = next(name for place, name in enumerate(self.names) if self._places[name] != place)
            raise RiskInputError(twice, "is listed twice", "list it once")

    def _each(self, holds: Bools, reason: str, remedy: str) -> None:
        if not bool(np.all(holds)):
            raise RiskInputError(self.names[int(np.argmin(holds))], reason, remedy)


@dataclass(frozen=True, eq=False)
class Buckets:
    """G pairs of underlying and expiry.

    Attributes:
        underlying: Places of the underlyings, shape (G,).
        expiry_years: Shape (G,); infinite for all that never expires.
        of: Each instrument's bucket, shape (U,).
    """

    underlying: Integers
    expiry_years: Floats
    of: Integers

    @classmethod
    def by(cls, underlying: Integers, expiry_years: Floats) -> Buckets:
        """Return the distinct pairs of these, one of each for every instrument, in order."""
        keys = np.stack([underlying.astype(np.float64), expiry_years], axis=1)
        distinct, of = np.unique(keys, axis=0, return_inverse=True)
        return cls(distinct[:, 0].astype(np.int64), distinct[:, 1].copy(), of.reshape(-1).astype(np.int64))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.underlying)

    def summing(self, values: Floats) -> csr_array:
        """Return the matrix (U, G) by which a row of quantities gives each bucket's sum of quantity times value.

        Raises:
            RiskInputError: the values are not one for each instrument.
        """
        array("values", values, ndim=1, length=len(self.of))
        places = np.arange(len(values) + 1)
        return csr_array((values, self.of, places), shape=(len(values), len(self)))


@dataclass(frozen=True, eq=False)
class Portfolio:
    """What A accounts hold.

    Attributes:
        quantities: Compressed rows, shape (A, U), in contracts; negative for a short position or a debt.
        cash_usd: Cash less what open linear positions were entered at, shape (A,).

    Raises:
        RiskInputError: a quantity or an amount of cash is not finite, or the lengths differ.
    """

    quantities: csr_array
    cash_usd: Floats

    def __post_init__(self) -> None:
        """Refuse what adds up to nothing."""
        object.__setattr__(self, "quantities", csr_array(self.quantities, dtype=np.float64))
        self.quantities.sum_duplicates()
        array("quantities", self.quantities.data)
        object.__setattr__(self, "cash_usd", array("cash_usd", self.cash_usd, ndim=1, length=len(self)))

    @classmethod
    def of(cls, instruments: Instruments, holdings: Sequence[tuple[Mapping[str, float], float]]) -> Portfolio:
        """Return the accounts of these holdings: quantities by instrument's name, and cash, for each account.

        Raises:
            RiskInputError: an instrument is unknown, or a number is not finite.
        """
        starts = np.cumsum([0, *(len(held) for held, _ in holdings)])
        places = [instruments.index(name) for held, _ in holdings for name in held]
        sizes = [number(name, size) for held, _ in holdings for name, size in held.items()]
        shape = (len(holdings), len(instruments))
        rows = csr_array((np.array(sizes, np.float64), np.array(places, np.int64), starts), shape=shape)
        return cls(rows, np.array([cash for _, cash in holdings], np.float64))

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return int(self.quantities.shape[0])

    def held_in(self, instruments: Instruments) -> csr_array:
        """Return the quantities, known to be over these instruments.

        Raises:
            RiskInputError: they are over so many others.
        """
        if self.quantities.shape[1] != len(instruments):
            reason = f"are over {self.quantities.shape[1]} instruments, not {len(instruments)}"
            raise RiskInputError("quantities", reason, "give a column for each instrument")
        return self.quantities
