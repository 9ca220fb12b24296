"""What a margin consists of: one protocol for every kind of margin, and the breakdown that explains its number.

An account's margin lies in *buckets*. A bucket is safe while its equity covers its requirement, and the account is
while all of its buckets are. So the kinds differ in what a bucket is:

* *isolated*: one position with the collateral that was put up for it;
* *cross*: everything in one account or sub-account, each asset securing every debt;
* *portfolio*: everything in one account, under one scenario; the scenarios are looked at side by side.

In each kind the bucket that *binds* is the one with the least left: the minimum over margin forms.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol, Self, TypeVar

import msgspec

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, BigInt, Wad

SubjectT_contra = TypeVar("SubjectT_contra", contravariant=True)
WHOLE_WAD = BigInt(Wad.ONE)
"""A weight of one."""
CUT = "cut off by the contract's rounding"
"""The item of what lines lack of the venue's own sums."""
ACCOUNT = "account"
"""The name of the bucket that holds all that an account has."""


class MarginKind(Enum):
    """How positions share what secures them."""

    ISOLATED = "isolated"
    CROSS = "cross"
    PORTFOLIO = "portfolio"


class MarginLine(msgspec.Struct, frozen=True, kw_only=True):
    """One term of a bucket's margin.

    Attributes:
        item: What it is, in the field's words.
        asset: The token or market it is of; ``None`` for what belongs to the bucket as a whole.
        amount: How much, in the asset's own smallest units; negative for what is owed and for a short position.
        value: What that is worth, in the bucket's unit, before it is weighed.
        weight_wad: The share of the value that counts, 1e-18: a liquidation threshold, a maintenance ratio.
        equity: What it adds to the bucket's equity, in the bucket's unit.
        requirement: What it adds to the requirement, in the bucket's unit.
        exposure: How much of what is left (equity less requirement) moves with the asset's price: times a relative
            move of it, what is left changes by; negative where a rise hurts.
    """

    item: str
    asset: Address | None = None
    amount: BigInt = BigInt(0)
    value: BigInt = BigInt(0)
    weight_wad: BigInt = WHOLE_WAD
    equity: BigInt = BigInt(0)
    requirement: BigInt = BigInt(0)
    exposure: BigInt = BigInt(0)


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """What is secured as one.

    ``name`` says which: a position, a sub-account, a scenario. Figures are in units of 1 / ``scale`` of ``unit``, a
    token's address or the name of a currency; one whole unit counts as ``unit_base`` (USD, 1e-8). The lines add up to
    the venue's own figures: what its arithmetic cuts off is a line of its own.
    """

    name: str
    unit: str
    scale: BigInt
    lines: tuple[MarginLine, ...]
    unit_base: BigInt = BigInt(BaseAmount.ONE)

    @classmethod
    def of_totals(cls, item: str, unit: str, scale: int, equity: int, requirement: int) -> Self:
        """Return the bucket of a whole account of which nothing is known but the two figures."""
        line = MarginLine(item=item, value=BigInt(equity), equity=BigInt(equity), requirement=BigInt(requirement))
        return cls(name=ACCOUNT, unit=unit, scale=BigInt(scale), lines=(line,))

    @property
    def equity(self) -> int:
        """What secures."""
        return sum(int(line.equity) for line in self.lines)

    @property
    def requirement(self) -> int:
        """What is to be secured."""
        return sum(int(line.requirement) for line in self.lines)

    @property
    def surplus(self) -> int:
        """What is left; below zero the bucket may be liquidated."""
        return self.equity - self.requirement


class MarginBreakdown(msgspec.Struct, frozen=True):
    """An account's margin. ``unknown`` says why there are no figures, and then there are no buckets."""

    kind: MarginKind
    buckets: tuple[Bucket, ...]
    unknown: str | None = None

    @property
    def binding(self) -> Bucket | None:
        """The bucket with the least left for what it has to secure; ``None`` without figures or without any need."""
        wanting = [bucket for bucket in self.buckets if bucket.requirement]
        if not wanting:
            return None
        return min(wanting, key=lambda bucket: (bucket.surplus * 10**36 // bucket.requirement, bucket.name))


class MarginModel(Protocol[SubjectT_contra]):
    """Whatever says how much margin a subject has: a venue for its accounts, a risk model for a portfolio."""

    @property
    def margin_kind(self) -> MarginKind:
        """How this model lets positions share what secures them."""

    def breakdown(self, subject: SubjectT_contra) -> MarginBreakdown:
        """Explain a subject's margin, with the figures that decide."""
