"""The oracle rules of published protocols, exactly as their contracts have them, in integers.

* Maker ``median.sol`` (commit 316acd): :func:`median_signed`.
* Liquity v1 ``PriceFeed.sol`` (commit 39f1f7f): :func:`liquity_frozen`, :func:`liquity_deviates`,
  :func:`liquity_similar`.
* Derive v2 feeds (commit d69b557): :data:`DERIVE_HEARTBEATS_SECONDS`, :data:`DERIVE_PERP_DIFF_MAX_PPM`.

:mod:`keeper.risk.oracles` has the guard that this project itself uses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import msgspec

from keeper.core.errors import RiskInputError
from keeper.core.units import BigInt, Wad
from keeper.risk.inputs import integer

LIQUITY_TIMEOUT_SECONDS = 14_400
"""A Chainlink answer older than this is frozen: four hours."""
LIQUITY_DEVIATION_MAX_WAD = Wad.ONE // 2
"""The largest deviation from the round before: 50 %."""
LIQUITY_DIFFERENCE_MAX_WAD = Wad.ONE // 20
"""The largest difference between two oracles: 5 % (the contract's comment says 3 %; its constant wins)."""
DERIVE_HEARTBEATS_SECONDS: Mapping[str, int] = MappingProxyType(
    {"spot": 180, "perp": 900, "vol": 1_200, "impact": 1_200, "forward": 3_600, "stable": 3_600}
)
"""How old each kind of Derive's feeds may be."""
DERIVE_PERP_DIFF_MAX_PPM = 60_000
"""How far Derive lets a perpetual's price be from its spot: 6 %."""


class SignedPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A price that an oracle has signed: who, what (1e-18), and when.

    Raises:
        RiskInputError: the price or the time is not an integer.
    """

    signer: str
    price: BigInt
    signed_at_seconds: int

    def __post_init__(self) -> None:
        integer("price", self.price)
        integer("signed_at_seconds", self.signed_at_seconds)


def median_signed(
    prices: Sequence[SignedPrice], *, bar: int, last_age_seconds: int, signers: Collection[str]
) -> BigInt:
    """Return the median of exactly ``bar`` signed prices, ``v[n >> 1]``, as Maker's ``Median.poke`` takes it.

    Args:
        prices: In ascending order of price, as they are submitted.
        bar: How many there must be; odd.
        last_age_seconds: When the median before was taken; each price must have been signed later.
        signers: The authorised oracles.

    Raises:
        RiskInputError: what makes the contract revert: another number, an unknown signer, one that signed twice, a
            price not later than the last median, or a wrong order; or a ``bar`` the contract cannot have.
    """
    integer("bar", bar, least=1)
    integer("last_age_seconds", last_age_seconds)
    if bar % 2 == 0:
        raise RiskInputError("bar", f"is {bar}", "give an odd number")
    if len(prices) != bar:
        raise RiskInputError("prices", f"are {len(prices)}", f"give exactly {bar}")
    last = 0
    seen: set[str] = set()
    for signed in prices:
        if signed.signer not in signers:
            raise RiskInputError("signer", f"{signed.signer} is no oracle", "take the signatures of oracles only")
        if signed.signed_at_seconds <= last_age_seconds:
            raise RiskInputError(
                "price",
                f"of {signed.signer} is of {signed.signed_at_seconds}",
                f"give one later than {last_age_seconds}",
            )
        if signed.price < last:
            raise RiskInputError("prices", f"are out of order at {signed.signer}", "give them ascending")
        if signed.signer in seen:
            raise RiskInputError("signer", f"{signed.signer} has signed already", "give one price of each")
        last = int(signed.price)
        seen.add(signed.signer)
    return prices[len(prices) >> 1].price


def liquity_frozen(answered_at_seconds: int, now_seconds: int) -> bool:
    """Return whether a Chainlink answer is too old for Liquity v1: older than four hours.

    Raises:
        RiskInputError: the answer is of the future, which the contract takes for a broken feed.
    """
    integer("answered_at_seconds", answered_at_seconds, least=0, most=integer("now_seconds", now_seconds))
    return now_seconds - answered_at_seconds > LIQUITY_TIMEOUT_SECONDS


def liquity_deviates(price: int, previous_price: int) -> bool:
    """Return whether a round is more than 50 % from the one before: ``|p - p'| / max(p, p')``, 1e-18 rounded down.

    Raises:
        RiskInputError: a price is not positive.
    """
    low, high = sorted((_positive(price), _positive(previous_price)))
    return (high - low) * Wad.ONE // high > LIQUITY_DEVIATION_MAX_WAD


def liquity_similar(price: int, other_price: int) -> bool:
    """Return whether two oracles' prices are within 5 %: ``|p - q| / min(p, q)``, 1e-18 rounded down.

    Raises:
        RiskInputError: a price is not positive.
    """
    low, high = sorted((_positive(price), _positive(other_price)))
    return (high - low) * Wad.ONE // low <= LIQUITY_DIFFERENCE_MAX_WAD


def _positive(price: int) -> int:
    return integer("price", price, least=1)
