"""What is final: the least that a quorum of providers calls so, or a depth when the chain does not say.

Every healthy provider is asked for its ``finalized`` block, beside the head and never in the way of a decision. The
minimum of the answers counts once two providers gave one (or the only one did): one provider alone cannot make final
what the others may still abandon. Finality never goes back; :class:`~keeper.chain.window.Window` sees to that.

A chain whose providers do not know the tag for long (it is missing, refused or zero) is final by depth until they do.

An answer is also a claim about our own branch. Most providers calling another block final than one that is final here
is the end of this history: the process halts. A few that do are lying or lost, and go into quarantine.
"""

from __future__ import annotations

import asyncio
from typing import Never

from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError, ignore
from keeper.chain.window import Window
from keeper.chain.wire import HeadHint, decode_header
from keeper.core.errors import FinalityViolated, NodeError, NodeMalformed, RetryLater
from keeper.core.ids import to_hex
from keeper.core.ports import UNWATCHED, Clock, Node, Pulse

QUORUM = 2
FALLBACK_DEPTH_BLOCKS = 64
PATIENCE_SECONDS = 300.0
"""So long without a quorum, and the depth takes the tag's place."""


class Finality:
    """The newest ``finalized`` block of each provider, and what follows from them.

    Args:
        pool: Who is asked.
        clock: Measures how long no quorum answered.
        depth_blocks: Blocks this far below the head are final; ``None`` asks the chain's ``finalized`` tag.
        fallback_depth_blocks: The depth while no quorum knows the tag.
        on_error: Told of each answer that failed, and when the depth takes the tag's place.
        pulse: Told when everybody is asked and has answered.
    """

    def __init__(
        self,
        pool: ProviderPool,
        clock: Clock,
        *,
        depth_blocks: int | None,
        fallback_depth_blocks: int = FALLBACK_DEPTH_BLOCKS,
        on_error: OnError = ignore,
        pulse: Pulse = UNWATCHED,
    ) -> None:
        self.by_tag = depth_blocks is None
        self._pool = pool
        self._clock = clock
        self._depth_blocks = depth_blocks
        self._fallback_depth_blocks = fallback_depth_blocks
        self._on_error = on_error
        self._pulse = pulse
        self._answers: dict[Node, HeadHint] = {}
        self._quorum_at = clock.monotonic()
        self._fallen_back = False
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """Have everybody asked soon."""
        self._wanted.set()

    async def run(self) -> Never:
        """Ask whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            with self._pulse.working():
                await self.ask()

    async def ask(self) -> None:
        """Ask every healthy provider; one that fails, or knows no final block, does not count."""
        if self.by_tag:
            await asyncio.gather(*(self._ask(node) for node in self._pool.healthy()))

    def heard(self, node: Node, final: HeadHint | None) -> None:
        """Take a provider's answer. Block zero is what nodes say that know of none."""
        if final is None or final.number == 0:
            self._answers.pop(node, None)
        else:
            self._answers[node] = final

    def final(self, window: Window, head_number: int) -> int | None:
        """Return the newest block that is final as far as is known, ``None`` while nothing is.

        Raises:
            FinalityViolated: most providers call another block final than one that is final here.
            NodeMalformed: most providers call another block final than the one that the head stands on.
        """
        if self._depth_blocks is not None:
            return head_number - self._depth_blocks
        self._judge(window)
        trusted = self._pool.healthy()
        numbers = [final.number for node, final in self._answers.items() if node in trusted]
        known = sum(provider.quarantine is None for provider in self._pool.statistics())
        if numbers and len(numbers) >= min(QUORUM, known):
            self._quorum_at, self._fallen_back = self._clock.monotonic(), False
            return min(numbers)
        if self._clock.monotonic() - self._quorum_at < PATIENCE_SECONDS:
            return None
        self._say_fallen_back()
        return head_number - self._fallback_depth_blocks

    async def _ask(self, node: Node) -> None:
        try:
            answer = await node.call("eth_getBlockByNumber", ("finalized", False))
            header = None if answer is None else decode_header(answer)
        except NodeError as error:
            self._on_error(error)
            header = None
        self.heard(node, None if header is None else HeadHint(header.number, header.hash))

    def _judge(self, window: Window) -> None:
        """Compare what providers call final with what is held."""
        held = {node: final for node, final in self._answers.items() if final.number in window.hashes}
        others = {node: final for node, final in held.items() if not window.holds(*final)}
        if not others:
            return
        agreeing = len(held) - len(others)
        ours = [final for final in others.values() if window.finalized is not None and final.number <= window.finalized]
        named = max(others.values())
        thing = f"block {named.number} {to_hex(named.hash)}"
        reason = f"{len(others)} of {len(held)} call it final, we hold {to_hex(window.hashes[named.number])} there"
        if len(others) > agreeing and ours:
            raise FinalityViolated(thing, reason, "compare the providers; nothing is decided until you did")
        for node in others:
            del self._answers[node]
            if agreeing > len(others) or (ours and agreeing == len(others)):
                self._pool.quarantine(node, f"calls {thing} final, where others have another")
        if len(others) > agreeing:
            raise NodeMalformed(thing, reason, "it is asked again, then another provider")

    def _say_fallen_back(self) -> None:
        if not self._fallen_back:
            self._fallen_back = True
            reason = f"no quorum knows one for {PATIENCE_SECONDS:.0f} s"
            remedy = f"{self._fallback_depth_blocks} blocks below the head count as final meanwhile"
            self._on_error(RetryLater("finalized block", reason, remedy))
