"""The faults a run may have: what each does, which cases of ``docs/faults.toml`` it exercises, how often it strikes.

A run draws which faults it has at all (a storm of everything hides more than it shows), and from then on each fault
draws from a stream of its own, so that adding one leaves the histories of the others alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from keeper.lab.simulator.streams import Streams

SHARE_OF_FAULTS = 0.6
"""How likely a run has any one of the faults that it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of the catalogue.

    Attributes:
        name: What the command line calls it.
        line: What happens, in a line.
        cases: The numbers of ``docs/faults.toml`` that it exercises.
        rate: How likely it strikes at each occasion (a request, a head, a block, a sync).
        alone: It has an ending of its own (a halt), so it is in few runs.
    """

    name: str
    line: str
    cases: tuple[int, ...]
    rate: float
    alone: bool = False


FAULTS: tuple[Fault, ...] = (
    Fault(name="crash", line="SIGKILL between any two callbacks", cases=(1, 2, 3, 20, 44), rate=0.8),
    Fault(name="stop", line="SIGTERM at any time", cases=(19,), rate=0.4),
    Fault(name="stall", line="the process does not run for some seconds", cases=(42,), rate=0.05),
    Fault(name="torn-tail", line="unsynced bytes of the journal are lost or torn at a crash", cases=(20,), rate=0.7),
    Fault(name="slow-sync", line="a sync takes seconds", cases=(2, 20), rate=0.02),
    Fault(name="disk-full", line="a sync fails: disk full or I/O error", cases=(21,), rate=0.002),
    Fault(name="clock-jump", line="the wall clock is set forwards or back", cases=(40,), rate=0.05),
    Fault(name="lost-request", line="a request times out before it took effect", cases=(5,), rate=0.02),
    Fault(name="lost-answer", line="a request times out after it took effect", cases=(4,), rate=0.02),
    Fault(name="slow-answer", line="an answer takes seconds", cases=(3, 42), rate=0.03),
    Fault(name="outage", line="a provider refuses connections for some blocks", cases=(4, 28), rate=0.06),
    Fault(name="rate-limit", line="a provider refuses a request for a limit", cases=(32,), rate=0.03),
    Fault(name="range-limit", line="a provider refuses logs of more than a few blocks", cases=(32,), rate=0.5),
    Fault(name="lag", line="a node falls behind by some blocks", cases=(30,), rate=0.06),
    Fault(name="head-lost", line="a head is not announced", cases=(27, 29), rate=0.2),
    Fault(name="head-twice", line="a head is announced twice", cases=(29,), rate=0.2),
    Fault(name="head-stale", line="an old head is announced again", cases=(29, 30), rate=0.1),
    Fault(name="head-silent", line="the head stream is dead for some blocks", cases=(27, 28), rate=0.06),
    Fault(name="unindexed", line="one provider answers no logs for a block it has not indexed", cases=(31,), rate=0.3),
    Fault(
        name="log-left-out",
        line="one provider leaves out the logs of a block, however old, for some answers",
        cases=(32, 33),
        rate=0.3,
    ),
    Fault(name="finality-missing", line="a provider knows no finalized block", cases=(36,), rate=0.1),
    Fault(name="finality-back", line="a provider's finalized block goes back", cases=(36,), rate=0.1),
    Fault(name="reorg", line="one to eight blocks are replaced", cases=(13, 34, 37, 38), rate=0.12),
    Fault(name="reorg-loss", line="a replaced block's transactions are lost", cases=(13,), rate=0.5),
    Fault(name="rival", line="somebody else liquidates, in a block or in a reorg", cases=(14, 15), rate=0.25),
    Fault(name="bounce", line="a price falls and comes back within blocks", cases=(15, 39), rate=0.1),
    Fault(name="fee-spike", line="gas costs fifty times as much from one block to the next", cases=(8, 9), rate=0.05),
    Fault(name="busy", line="blocks are full of better tips", cases=(8, 9), rate=0.1),
    Fault(name="eviction", line="a pool evicts a transaction", cases=(7,), rate=0.1),
    Fault(name="silence", line="one node takes a transaction and tells nobody", cases=(6,), rate=0.2),
    Fault(name="poor", line="the signer runs out of coin for gas", cases=(9,), rate=0.03),
    Fault(name="foreign", line="a transaction of our key from elsewhere", cases=(11, 12), rate=0.1, alone=True),
    Fault(name="finality-broken", line="a final block is replaced", cases=(35,), rate=0.1, alone=True),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


ALL = frozenset(BY_NAME)
"""Every fault."""


class Chaos:
    """Which faults a run has, and when they strike. After :meth:`calm` none does.

    Args:
        streams: The run's chance.
        allowed: Names of the faults that it may have.
        certain: It has all of them: what was asked for by name on the command line is not left to chance.
    """

    def __init__(self, streams: Streams, allowed: Collection[str], *, certain: bool = False) -> None:
        self._streams = streams
        self.active = frozenset(
            fault.name for fault in FAULTS if fault.name in allowed and (certain or self._drawn(fault))
        )
        self.counts: dict[str, int] = {}
        self.is_calm = False

    def _drawn(self, fault: Fault) -> bool:
        share = 0.03 if fault.alone else SHARE_OF_FAULTS
        return self._streams.of(f"has {fault.name}").random() < share

    def strikes(self, name: str) -> bool:
        """Tell whether a fault strikes at this occasion, and count it."""
        if self.is_calm or name not in self.active:
            return False
        struck = self._streams.of(f"fault {name}").random() < BY_NAME[name].rate
        if struck:
            self.counts[name] = self.counts.get(name, 0) + 1
        return struck

    def calm(self) -> None:
        """Let nothing strike any more."""
        self.is_calm = True
