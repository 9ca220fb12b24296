"""What can be wrong with a provider, as switches that a scenario turns, and the chance that decides each request."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

Outage = Literal["refuse", "reset", "hang"]
Mishap = Literal["lose request", "lose reply", "refuse", "limit", "empty", "swallow", "cut"]

SEND = "eth_sendRawTransaction"
LOGS = "eth_getLogs"
MISHAPS_OF_SENDS: tuple[Mishap, ...] = ("lose request", "lose reply", "refuse", "swallow")
MISHAPS_OF_LOGS: tuple[Mishap, ...] = ("lose reply", "empty", "limit", "cut")
MISHAPS_OF_READS: tuple[Mishap, ...] = ("lose request", "lose reply", "refuse", "limit", "cut")


@dataclass(slots=True)
class Troubles:
    """The state of one provider. Everything off is an honest, quick provider.

    Attributes:
        chance: Decides each request; seeded.
        outage: How it fails as a whole, ``None`` while it is up.
        lag_blocks: How many of the newest blocks it does not know yet.
        mishap_share: The share of requests that something happens to, between 0 and 1.
        head_mishap_share: The share of announced heads that are dropped, and that are announced twice.
        happened: How often each thing happened.
    """

    chance: random.Random
    outage: Outage | None = None
    lag_blocks: int = 0
    mishap_share: float = 0.0
    head_mishap_share: float = 0.0
    happened: dict[str, int] = field(default_factory=dict)

    def note(self, what: str) -> None:
        """Count something that was done to the keeper."""
        self.happened[what] = self.happened.get(what, 0) + 1

    def mishap(self, methods: frozenset[str]) -> Mishap | None:
        """Draw what happens to one HTTP body, by the methods in it."""
        if self.chance.random() >= self.mishap_share:
            return None
        kinds = MISHAPS_OF_READS
        if SEND in methods:
            kinds = MISHAPS_OF_SENDS
        elif LOGS in methods:
            kinds = MISHAPS_OF_LOGS
        drawn = self.chance.choice(kinds)
        self.note(drawn)
        return drawn

    def copies_of_head(self) -> int:
        """Draw how often a head is announced: usually once."""
        draw = self.chance.random()
        if draw < self.head_mishap_share:
            self.note("head dropped")
            return 0
        if draw < 2 * self.head_mishap_share:
            self.note("head repeated")
            return 2
        return 1
