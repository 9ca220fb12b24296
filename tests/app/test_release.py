"""A halted signer is released by name, from the chain's own count, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from keeper.app.release import check_release, released
from keeper.chain.pool import ProviderPool
from keeper.core.errors import UsageError
from keeper.core.facts import SignerReleased
from keeper.core.ids import to_hex
from tests.engine.history import CHAIN, CONFIG, SIGNER, History


class CountingPool:
    """A pool that knows one count."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Sequence[object]]] = []

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Answer the count."""
        self.asked.append((method, params))
        return "0x7"


@pytest.mark.fault(12)
async def test_a_release_goes_on_from_the_mined_count() -> None:
    """The fact carries what the chain counts now, for each chain that the signer is used on."""
    pool = CountingPool()

    facts = await released(CONFIG, {"local": cast("ProviderPool", pool)}, ["main"])

    assert facts == [SignerReleased("main", CHAIN, 7)]
    assert pool.asked == [("eth_getTransactionCount", (to_hex(SIGNER), "latest"))]


async def test_without_names_no_node_is_asked() -> None:
    """An ordinary start releases nobody."""
    assert await released(CONFIG, {}, []) == []


@pytest.mark.fault(12)
def test_only_a_halted_signer_is_released() -> None:
    """A name that is of no signer, or of one that is not halted, is refused before the run begins."""
    history = History()
    history.market()
    with pytest.raises(UsageError, match="that signer is not halted; start without the option"):
        check_release(CONFIG, history.engine, ["main"])
    with pytest.raises(UsageError, match="is not a signer of the configuration"):
        check_release(CONFIG, history.engine, ["nobody"])
    history.read_signer(nonce=5)

    check_release(CONFIG, history.engine, ["main"])
