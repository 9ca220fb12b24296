"""A recorder that folds blocks into the engine's state of a chain, as the engine does."""

from __future__ import annotations

from keeper.core.facts import (
    AnyFact,
    BlockApplied,
    BlockFinalized,
    BlockReverted,
    BlocksBackfilled,
    LogsRepaired,
    RangeVerified,
)
from keeper.engine.chain_state import ChainState
from tests.chain_ingestion.fakes import Journal
from tests.chain_ingestion.scripted import CHAIN_ID, Fault, Json, Refuse, ScriptedServer


class FoldingJournal(Journal):
    """Keeps what waits for a second provider."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ChainState(CHAIN_ID, scanned=True)

    @property
    def verified(self) -> list[RangeVerified]:
        """All confirmations."""
        return [fact for fact in self.facts if isinstance(fact, RangeVerified)]

    @property
    def repaired(self) -> list[LogsRepaired]:
        """All repairs."""
        return [fact for fact in self.facts if isinstance(fact, LogsRepaired)]

    def _step(self, fact: AnyFact) -> None:
        super()._step(fact)
        match fact:
            case BlockApplied():
                self.state.apply(fact, 0)
            case BlockReverted():
                self.state.revert(fact.number, fact.hash)
            case BlockFinalized():
                self.state.finalize(fact.number, fact.hash)
            case BlocksBackfilled():
                self.state.backfill(fact)
            case RangeVerified():
                self.state.verify(fact)
            case LogsRepaired():
                self.state.repair(fact)
            case _:
                pass


def bend_logs(server: ScriptedServer, change: Fault) -> Fault:
    """Return a fault that lets ``change`` have the list of logs of every answer to getLogs."""

    def fault(method: str, params: list[Json]) -> Json:
        answer = server.chain.answer(method, params)
        return change(method, answer) if method == "eth_getLogs" else answer

    return fault


def hide(server: ScriptedServer, number: int) -> Fault:
    """Hide the last log of a block, if it has several."""

    def change(_: str, logs: list[Json]) -> Json:
        own = [log for log in logs if int(log["blockNumber"], 16) == number]
        return [log for log in logs if len(own) < 2 or log is not own[-1]]

    return bend_logs(server, change)


def invent(server: ScriptedServer, number: int) -> Fault:
    """Add a log to a block that has one: of the same contract and event, so that only receipts can tell."""
    server.chain.has_receipts = True

    def change(_: str, logs: list[Json]) -> Json:
        own = [log for log in logs if int(log["blockNumber"], 16) == number]
        if not own:
            return logs
        made = {**own[-1], "logIndex": "0x9", "data": "0xbad0", "transactionHash": "0x" + "99" * 32}
        after = logs.index(own[-1]) + 1
        return [*logs[:after], made, *logs[after:]]

    return bend_logs(server, change)


def without_receipts(fault: Fault) -> Fault:
    """Refuse receipts, too."""

    def refusing(method: str, params: list[Json]) -> Json:
        if method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
            raise Refuse(-32601, "the method does not exist")
        return fault(method, params)

    return refusing
