"""What the tests of the daemon look for in its status and in its journal."""

from __future__ import annotations

from typing import Any

from keeper.core.codec import Record

Json = Any


def of(records: list[Record], kind: type) -> list[Any]:
    """Return the bodies of one kind, in order."""
    return [record.body for record in records if isinstance(record.body, kind)]


def refused(status: Json) -> bool:
    """Tell whether the newest decisions hold a refusal."""
    return any(decision["kind"] == "ProposalRefused" for decision in status["last_decisions"])


def liquidated(status: Json) -> bool:
    """Tell whether the newest decisions hold a liquidation."""
    return any(decision["kind"] == "LiquidationObserved" for decision in status["last_decisions"])


def in_flight(status: Json, kind: str) -> list[Json]:
    """Return the intents of a kind that were sent and are not mined."""
    return [one for one in status["intents"] if one["kind"] == kind and one["state"] == "broadcast"]


def halted(status: Json) -> str | None:
    """Return why the signer is halted."""
    return next((signer["halted"] for signer in status["signers"]), None)
