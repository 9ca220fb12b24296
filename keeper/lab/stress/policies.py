"""The policies that the laboratory compares: each is the baseline with one thing changed, or two that belong together.

What is the venue's to choose, its pool does: how much of a debt one call may repay, the bonus, the requirement over
time, the insurance fund, whether collateral is shared. What is the keeper's to choose are the parameters of the shipped
strategy.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Literal

import msgspec

from keeper.core.errors import UsageError


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue and its keeper do.

    Attributes:
        name: What it is called on the command line.
        story: It in a sentence.
        close_factor: The share of a debt that one call may repay, where ``target_health`` does not say.
        target_health: The venue lets so much be repaid as restores this health; ``None`` where it does not look.
        keeper_target: Our keeper's own target, ``None`` where it takes what earns most.
        bonus: A fixed bonus, or one that rises from nothing as a Dutch auction's price falls.
        requirement: The margin requirement over time: fixed, scaled by realised volatility, or raised by the
            probability of a turbulent regime as well.
        insured: Whether a fund stands before the lenders.
        at_any_price: Whether what is seized is sold whatever it brings, as an exchange's own engine sells; what it
            brings short of the debt is the venue's loss. Else liquidators sell in the same transaction or not at all.
        margin: Whether a borrower's coins secure one debt together, or each its own.
    """

    name: str
    story: str
    close_factor: float = 0.5
    target_health: float | None = None
    keeper_target: float | None = None
    bonus: Literal["fixed", "dutch"] = "fixed"
    requirement: Literal["static", "scaled", "predictive"] = "static"
    insured: bool = True
    at_any_price: bool = False
    margin: Literal["isolated", "cross"] = "cross"


TARGET_HEALTH = 1.10
_SLICES = {"close_factor": 1.0, "target_health": TARGET_HEALTH, "keeper_target": TARGET_HEALTH}

POLICIES: dict[str, Policy] = {
    each.name: each
    for each in (
        Policy(name="half", story="baseline: half of a debt a call; bonus and requirement fixed; a fund; shared coins"),
        Policy(name="full", story="all of a debt may be repaid at once", close_factor=1.0),
        Policy(name="slices", story="a call may restore a health of 1.10, no more", **_SLICES),  # type: ignore[arg-type]
        Policy(
            name="full-market",
            story="as full, and sold at any price, as an exchange's own engine does",
            close_factor=1.0,
            at_any_price=True,
        ),
        Policy(
            name="slices-market",
            story="as slices, and sold at any price",
            at_any_price=True,
            **_SLICES,  # type: ignore[arg-type]
        ),
        Policy(
            name="slices-alone",
            story="our keeper alone takes slices to 1.10; rivals take the half that they may",
            keeper_target=TARGET_HEALTH,
        ),
        Policy(name="scaled", story="the requirement follows realised volatility", requirement="scaled"),
        Policy(
            name="predictive",
            story="the requirement follows volatility times the probability of a turbulent regime",
            requirement="predictive",
        ),
        Policy(
            name="scaled-slices",
            story="the requirement follows volatility, closed in slices",
            requirement="scaled",
            **_SLICES,  # type: ignore[arg-type]
        ),
        Policy(name="dutch", story="the bonus rises from nothing while nobody takes it", bonus="dutch"),
        Policy(name="unfunded", story="no insurance fund: lenders bear every loss", insured=False),
        Policy(name="isolated", story="each coin secures a debt of its own", margin="isolated"),
    )
}
"""By name, in the order of the tables. The first is the baseline."""
BASELINE = "half"

ON_REQUEST = ("slices-alone", "scaled-slices", "unfunded")
"""What a comparison leaves out unless it is asked for by name: refinements, and a fund's absence, which moves no price
but only who bears the loss."""

CONTRASTS: tuple[tuple[str, str], ...] = (
    ("slices", "full"),
    ("slices", "half"),
    ("full-market", "full"),
    ("slices-market", "full-market"),
    ("slices-alone", "half"),
    ("scaled", "half"),
    ("predictive", "half"),
    ("predictive", "scaled"),
    ("scaled-slices", "scaled"),
    ("dutch", "half"),
    ("unfunded", "half"),
    ("isolated", "half"),
)
"""Which policies are set against which, seed by seed."""


def policy(name: str) -> Policy:
    """Return a policy.

    Raises:
        UsageError: there is none of that name; the message names the nearest.
    """
    return POLICIES[known("policy", name, POLICIES)]


def known(what: str, name: str, names: Collection[str]) -> str:
    """Return a name that is among some.

    Raises:
        UsageError: it is not; the message names the nearest, and where all are listed.
    """
    if name in names:
        return name
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"{what} {name}", "is not known", f"{hint}keeper stress list shows all")
