"""What goes wrong when, drawn from a seed: kills, reorgs with and without a rival, outages, lag, dear gas."""

from __future__ import annotations

import random
from dataclasses import dataclass

from keeper.lab.chaos.troubles import Outage

REORG_DEPTH_MAX = 8
OUTAGES: tuple[Outage, ...] = ("refuse", "reset", "hang")


@dataclass(frozen=True, slots=True)
class Reorg:
    """The newest ``depth`` blocks are replaced; ``rival``: others liquidate in the new ones what we had in the old.

    ``keeps_ours``: our own transactions are mined again there; otherwise the pool loses them.
    """

    depth: int
    rival: bool
    keeps_ours: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Something that lasts from block ``first`` on for ``blocks`` blocks, at the providers of these places."""

    first: int
    blocks: int
    providers: tuple[int, ...]

    def covers(self, block: int) -> bool:
        """Tell whether it lasts at a block."""
        return self.first <= block < self.first + self.blocks


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a scenario does to the keeper, by the number of the price step (a block each)."""

    kills: dict[int, float]
    """Block to the share of the block's time after which the process is killed."""
    reorgs: dict[int, Reorg]
    outages: tuple[tuple[Window, Outage], ...]
    lags: tuple[tuple[Window, int], ...]
    spikes: tuple[Window, ...]
    mishap_share: float
    head_mishap_share: float


def draw_plan(seed: int, steps: int, providers: int) -> Plan:
    """Draw a plan for ``steps`` blocks; the same seed gives the same plan."""
    chance = random.Random(f"chaos plan {seed}")  # noqa: S311 - a reproducible scenario, not a secret
    middle = range(4, steps - 2)
    return Plan(
        kills={chance.choice(middle): chance.random() for _ in range(chance.randint(1, 2))},
        reorgs={chance.choice(range(REORG_DEPTH_MAX + 1, steps)): _reorg(chance) for _ in range(chance.randint(1, 3))},
        outages=tuple(
            (_window(chance, middle, providers, everybody=0.25), chance.choice(OUTAGES))
            for _ in range(chance.randint(1, 2))
        ),
        lags=tuple((_window(chance, middle, providers), chance.randint(1, 4)) for _ in range(chance.randint(0, 2))),
        spikes=tuple(Window(chance.choice(middle), chance.randint(2, 6), ()) for _ in range(chance.randint(0, 1))),
        mishap_share=chance.choice((0.0, 0.02, 0.06)),
        head_mishap_share=chance.choice((0.0, 0.1)),
    )


def _reorg(chance: random.Random) -> Reorg:
    return Reorg(chance.randint(1, REORG_DEPTH_MAX), chance.random() < 1 / 2, chance.random() < 1 / 3)


def _window(chance: random.Random, blocks: range, providers: int, *, everybody: float = 0.0) -> Window:
    struck = tuple(range(providers)) if chance.random() < everybody else (chance.randrange(providers),)
    return Window(chance.choice(blocks), chance.randint(2, 8), struck)
