"""What receipts tell in a dispute about logs, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from keeper.chain.dispute import _receipt_logs
from keeper.chain.member import Member
from keeper.chain.rpc import RpcCall
from keeper.chain.wire import LogFilter
from keeper.core.errors import NodeRefused
from tests.chain_ingestion.scripted import EVENT, ROOT, some_hash

WANTED = LogFilter((ROOT,), (EVENT,))


class Lacking:
    """A provider that has the receipts of no block, and of no transaction."""

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Refuse the first, and know nothing of the others."""
        return [NodeRefused("p", -32601, "no such method"), *[None] * (len(calls) - 1)]


@pytest.mark.fault(33)
async def test_a_missing_receipt_is_not_one_without_logs() -> None:
    """A provider that lacks the receipt of a disputed transaction cannot tell who is right."""
    told = await _receipt_logs(cast("Member", Lacking()), [some_hash("tx")], WANTED, 1, some_hash("block"))

    assert told is None
