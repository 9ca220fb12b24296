"""What a run came to."""

from __future__ import annotations

import msgspec

from keeper.lab.stress.paths import STEP_SECONDS
from keeper.risk.inputs import Floats

HOURS_PER_STEP = STEP_SECONDS / 3600


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One policy in one scenario by one seed. USD, shares of one, account-hours.

    Attributes:
        liquidations: How many calls seized something.
        ours: How many of them were our keeper's; the engine admitted each.
        repaid_usd: Debt that liquidators repaid.
        bad_debt_usd: Debt that no collateral pays: written off, sold short, or short at the end by the market's price.
        insurance_usd: What the fund paid of it.
        socialised_usd: What lenders lost.
        extra_drop: The most that forced sales displaced a coin's price by.
        depressed: What forced sales displaced ether's price by, averaged over time.
        drop: The fall of ether from its first price to its lowest, sales included.
        margin_locked: Requirement for each dollar owed, averaged over time.
        withdrawn: Borrowing capacity lost to tightened requirements, averaged over time.
        withdrawn_stressed: The same, over the tenth of the steps when the market moved most.
        under_water_hours: Account-hours below the line, by the market's price.
        profit_usd: Our keeper's, after impact and gas.
        defended_usd: Debt that borrowers repaid themselves.
        owed_start_usd: All debt at the start.
        owed_end_usd: All debt at the end.
        admitted: Intents that the engine admitted.
        outbid: Liquidations that the engine judged lost to a rival.
        state_hash: Of the engine at the end.
    """

    scenario: str
    policy: str
    seed: int
    liquidations: int
    ours: int
    repaid_usd: float
    bad_debt_usd: float
    insurance_usd: float
    socialised_usd: float
    extra_drop: float
    depressed: float
    drop: float
    margin_locked: float
    withdrawn: float
    withdrawn_stressed: float
    under_water_hours: float
    profit_usd: float
    defended_usd: float
    owed_start_usd: float
    owed_end_usd: float
    admitted: int
    outbid: int
    state_hash: str


class Trace(msgspec.Struct, frozen=True):
    """A run by hour, for charts."""

    hours: list[float]
    undisturbed_usd: list[float]
    """Ether's price of the path."""
    market_usd: list[float]
    """Ether's price with the sales."""
    requirement: list[float]
    """Ether's maintenance requirement."""
    repaid_usd: list[float]
    """Summed up to there."""
    under_water: list[int]
    """Accounts below the line."""


class Samples(msgspec.Struct):
    """What is noted at each step."""

    undisturbed_usd: list[Floats] = []
    market_usd: list[Floats] = []
    requirement: list[Floats] = []
    repaid_usd: list[float] = []
    under_water: list[int] = []
    locked: list[float] = []
    withdrawn: list[float] = []

    def trace(self, every: int) -> Trace:
        """Return every so many steps of it."""
        steps = range(0, len(self.market_usd), every)
        return Trace(
            [round(step * HOURS_PER_STEP, 3) for step in steps],
            [round(float(self.undisturbed_usd[step][1]), 4) for step in steps],
            [round(float(self.market_usd[step][1]), 4) for step in steps],
            [round(float(self.requirement[step][1]), 5) for step in steps],
            [round(self.repaid_usd[step], 2) for step in steps],
            [self.under_water[step] for step in steps],
        )
