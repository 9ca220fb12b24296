"""What may be run: the recorded crashes and the made-up paths, with the world around them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from keeper.lab.stress.borrowers import Borrowers
from keeper.lab.stress.crashes import STORIES
from keeper.lab.stress.impact import ImpactModel
from keeper.lab.stress.paths import Path, made, recorded
from keeper.lab.stress.policies import known


class Oracle(msgspec.Struct, frozen=True, kw_only=True):
    """When a price feed writes: on a deviation or a heartbeat, of what it saw some steps ago, with noise."""

    deviation: float = 0.005
    heartbeat_seconds: int = 3600
    lag_steps: int = 1
    noise: float = 0.0005


class Gas(msgspec.Struct, frozen=True, kw_only=True):
    """What blocks hold and cost; both worsen with the stress index."""

    calls_per_step: int = 24
    base_fee_gwei: float = 20.0
    noise: float = 0.3


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a run but its prices and its policy.

    ``fund_share`` is the insurance fund's endowment, as a share of all debt at the start.
    """

    borrowers: Borrowers = Borrowers()
    impact: ImpactModel = ImpactModel()
    oracle: Oracle = Oracle()
    gas: Gas = Gas()
    rivals: int = 3
    rival_latency_max: int = 2
    our_latency: int = 0
    fund_share: float = 0.01


class Scenario(msgspec.Struct, frozen=True):
    """A path by seed, and the world that it happens in."""

    name: str
    story: str
    path: Callable[[int], Path]
    world: World = World()
    recorded: bool = True


def _recorded(name: str, story: str) -> Scenario:
    return Scenario(name, story, lambda seed: recorded(name, seed))


def _made(name: str, kind: str, story: str, world: World | None = None) -> Scenario:
    return Scenario(name, story, lambda seed: made(kind, seed), world or World(), recorded=False)


SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        *(_recorded(name, story) for name, story in STORIES.items()),
        _made("gbm", "gbm", "made up: a steady fall with Gaussian noise"),
        _made("jumps", "jumps", "made up: a calmer fall with sudden crashes"),
        _made("heston", "heston", "made up: a fall whose volatility feeds on itself"),
        _made(
            "square-root",
            "jumps",
            "made up: as jumps, in a market of square-root impact",
            World(impact=ImpactModel(kind="square-root", depth_share=1.0)),
        ),
    )
}
"""By name, the recorded first."""
CRASHES = tuple(name for name, each in SCENARIOS.items() if each.recorded)


def scenario(name: str) -> Scenario:
    """Return a scenario.

    Raises:
        UsageError: there is none of that name; the message names the nearest.
    """
    return SCENARIOS[known("scenario", name, SCENARIOS)]
