"""What a protocol beside Aave brings to the demo: accounts that the same fall of prices hurts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from keeper.lab.demo.audit import ChainAudit
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call


class Act(Protocol):
    """A protocol that was deployed and whose accounts are open; ``accounts`` are lower-case addresses."""

    @property
    def venue(self) -> str:
        """The venue's name in the configuration."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """Everyone who may be hurt."""

    @property
    def section(self) -> str:
        """The venue's part of ``keeper.toml``."""

    async def begin(self, rpc: LabRpc) -> None:
        """Do what accounts do when the keeper watches already."""

    def price_calls(self, prices: Mapping[str, int]) -> list[Call]:
        """Return the calls by which the protocol learns of prices (1e-8 USD) by ticker."""

    def reactions(self, prices: Mapping[str, int]) -> list[Call]:
        """Return what others do upon these prices; each may be refused, as on any chain."""

    async def are_safe(self, rpc: LabRpc) -> bool:
        """Tell whether the protocol would let nobody be liquidated."""

    def audit(self, node: LocalNode) -> ChainAudit:
        """Open the independent check of this protocol."""


class OpenAct(Protocol):
    """How a protocol is opened."""

    async def __call__(self, rpc: LabRpc, node: LocalNode, *, seed: int, liquidator: str, price: int) -> Act:
        """Deploy it at a price of ether (1e-8 USD), open its accounts, and give the liquidator what it needs there."""
