"""The price of a run: the path, what sales displace it by, what the oracle tells of it, and what blocks cost."""

from __future__ import annotations

import numpy as np

from keeper.lab.stress.impact import Impact
from keeper.lab.stress.paths import STEP_SECONDS, Path, stream
from keeper.lab.stress.scenarios import Gas, Oracle, World
from keeper.risk.inputs import Floats
from keeper.risk.volatility import SECONDS_PER_DAY, ewma_variances

STRESS_DECAY = 0.5 ** (STEP_SECONDS / (3 * 3600))
"""Half of the stress index is of the last three hours."""
STRESS_MAX = 6.0
GWEI = 10**9


def stress_index(path: Path) -> Floats:
    """Return (N,) how many times its usual volatility ether has at each step, at least 1: of the path alone.

    It is the same whatever a policy does, so that policies meet the same congestion and the same depth.
    """
    usual = float(np.var(np.diff(np.log(path.prior_closes_usd[:, 1])))) * STEP_SECONDS / SECONDS_PER_DAY
    moves = np.diff(np.log(path.prices_usd[:, 1]))
    variances = ewma_variances(moves, STRESS_DECAY, initial=usual)
    return np.clip(np.sqrt(variances / usual), 1.0, STRESS_MAX)


class Feed:
    """The oracle of both coins.

    Args:
        terms: When it writes.
        seed: Of its noise.
        prices_usd: (2,) the first prices.
        steps: How many steps it will be asked at.
    """

    def __init__(self, terms: Oracle, seed: int, prices_usd: Floats, steps: int) -> None:
        self._terms = terms
        self._noise = 1 + terms.noise * stream(seed, "oracle").standard_normal((steps, len(prices_usd)))
        self._seen = [prices_usd] * (terms.lag_steps + 1)
        self._age_seconds = np.zeros(len(prices_usd))
        self.prices_usd = prices_usd.copy()
        """(2,) what it told last."""

    def look(self, step: int, market_usd: Floats) -> None:
        """See the market at a step; write where the deviation or the heartbeat says so."""
        self._seen = [*self._seen[1:], market_usd * self._noise[step]]
        seen = self._seen[0]
        self._age_seconds += STEP_SECONDS
        moved = np.abs(seen / self.prices_usd - 1) >= self._terms.deviation
        due = moved | (self._age_seconds >= self._terms.heartbeat_seconds)
        self.prices_usd = np.where(due, seen, self.prices_usd)
        self._age_seconds[due] = 0


class Chain:
    """What blocks hold and cost at each step.

    Args:
        terms: In quiet times.
        seed: Of the noise.
        stress: (N,) the stress index.
    """

    def __init__(self, terms: Gas, seed: int, stress: Floats) -> None:
        noise = np.exp(terms.noise * stream(seed, "gas").standard_normal(len(stress)))
        self._base_fee_wei = terms.base_fee_gwei * GWEI * stress**1.5 * noise
        self._calls = np.maximum(1.0, np.floor(terms.calls_per_step / (stress * noise)))

    def base_fee_wei(self, step: int) -> int:
        """Return the base fee of a step."""
        return int(self._base_fee_wei[step])

    def calls(self, step: int) -> int:
        """Return how many calls a step's blocks hold."""
        return int(self._calls[step])


class Market:
    """Everything about prices that a run asks for, step by step.

    Args:
        path: What would happen without forced sales.
        world: The scenario's.
        seed: Of all noise.
        collateral: (2,) coins that are collateral at the start.
    """

    def __init__(self, path: Path, world: World, seed: int, collateral: Floats) -> None:
        self._path = path.prices_usd
        self.stress = stress_index(path)
        self.impact = Impact(world.impact, collateral)
        self.feed = Feed(world.oracle, seed, path.prices_usd[0], path.steps)
        self.chain = Chain(world.gas, seed, self.stress)
        self._step = 0

    def begin_step(self, step: int) -> None:
        """Go on to a step: arbitrage works, the oracle looks."""
        self._step = step
        self.impact.begin_step(STEP_SECONDS, float(self.stress[step]))
        self.feed.look(step, self.prices_usd)

    @property
    def undisturbed_usd(self) -> Floats:
        """(2,) the path's own prices."""
        return np.asarray(self._path[self._step])

    @property
    def prices_usd(self) -> Floats:
        """(2,) the prices that sales have left."""
        return np.asarray(self._path[self._step] * np.exp(self.impact.displaced))

    def sell(self, coin: int, quantity: float) -> float:
        """Sell coins; return what is paid."""
        return self.impact.sell(coin, float(self.prices_usd[coin]), quantity)
