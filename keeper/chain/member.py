"""One provider of a pool: the same calls, each of them counted for or against it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from keeper.chain.health import ProviderHealth, Standing
from keeper.chain.rpc import Provider, RpcCall
from keeper.core.errors import ConfigError, KeeperError, NodeError, NodeLimited, NodeRefused
from keeper.core.ports import Clock

Result = TypeVar("Result")


class Member:
    """A :class:`~keeper.core.ports.Node` that remembers how it did.

    Args:
        provider: Who answers.
        standing: Where it is remembered.
        clock: Measures answers.
        charge: Told of each failure, with the member it is counted against.
        wrong_chain: Says what to raise when the provider serves another chain.
    """

    def __init__(
        self,
        provider: Provider,
        standing: Standing,
        clock: Clock,
        charge: Callable[[Member, NodeError], None],
        wrong_chain: Callable[[Member, ConfigError], KeeperError],
    ) -> None:
        self.provider = provider
        self.name = provider.name
        self.standing = standing
        self.lacks: set[str] = set()
        self._clock = clock
        self._charge = charge
        self._wrong_chain = wrong_chain

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Return the ``result`` of one request; see :meth:`~keeper.chain.rpc.Provider.call`."""
        return await self._counted(self.provider.call(method, params))

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return the results of several requests; see :meth:`~keeper.chain.rpc.Provider.batch`."""
        return await self._counted(self.provider.batch(calls))

    def health(self) -> ProviderHealth:
        """Return how the provider stands."""
        return ProviderHealth(
            name=self.name,
            up=self.standing.is_up and not self.standing.is_silent,
            failures=self.standing.failures,
            score=self.standing.score,
            lag_blocks=self.standing.lag_blocks,
            quarantine=self.standing.quarantine,
        )

    async def _counted(self, answer: Awaitable[Result]) -> Result:
        started = self._clock.monotonic()
        try:
            result = await answer
        except NodeRefused:  # an answer
            self.standing.took(self._clock.monotonic() - started)
            self.standing.answered()
            raise
        except asyncio.CancelledError:  # given up, and it has been that slow
            self.standing.took(self._clock.monotonic() - started)
            raise
        except NodeLimited:  # it asks us to wait, which is no failure
            raise
        except NodeError as error:
            self._charge(self, error)
            raise
        except ConfigError as error:
            raise self._wrong_chain(self, error) from None
        self.standing.took(self._clock.monotonic() - started)
        self.standing.answered()
        return result
