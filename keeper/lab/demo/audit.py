"""The independent check: what the chain itself says about the borrowers, read through web3.

Nothing here goes through the keeper's own decoders or ledgers: a check must not share code with what it checks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.contract import AsyncContract
from web3.contract.async_contract import AsyncContractFunction
from web3.exceptions import ContractLogicError
from web3.types import RPCEndpoint

from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.node import LocalNode

WAD = 10**18
UINT256_MAX = 2**256 - 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One borrower below the line: its health, and a liquidation that would still have raised it, if there is one."""

    account: str
    health_wad: int
    remedy: str | None


class ChainAudit(ABC):
    """Reads one protocol through web3 with the published ABIs."""

    def __init__(self, node: LocalNode, liquidator: str) -> None:
        self._web3 = AsyncWeb3(AsyncHTTPProvider(node.http_url))
        self._liquidator = self._web3.to_checksum_address(liquidator)

    def _contract(self, address: str, abi: Sequence[Mapping[str, object]]) -> AsyncContract:
        return self._web3.eth.contract(address=self._web3.to_checksum_address(address), abi=list(abi))

    @abstractmethod
    async def health(self, account: str) -> int:
        """Return an account's health, 1e-18, at the latest block: below one it may be liquidated."""

    @abstractmethod
    async def _remedy(self, account: str, health: int) -> str | None:
        """Try liquidations for real, on a snapshot of the node that is taken back; name one that raises the health."""

    async def below_the_line(self, accounts: Sequence[str]) -> list[Finding]:
        """Return every account with a health below one, and whether a liquidation would still raise it."""
        findings = []
        for account in accounts:
            health = await self.health(account)
            if health < WAD:
                findings.append(Finding(account, health, await self._remedy(account, health)))
        return findings

    async def _health_after(self, account: str, call: AsyncContractFunction) -> int | None:
        """Return the health that the liquidator's call would leave, ``None`` when it would revert."""
        snapshot = await self._request("evm_snapshot")
        try:
            hash_ = await call.transact({"from": self._liquidator, "gas": 2_000_000})
            await self._request("evm_mine")
            receipt = await self._web3.eth.get_transaction_receipt(hash_)
            return await self.health(account) if receipt["status"] == 1 else None
        except ContractLogicError:
            return None
        finally:
            await self._request("evm_revert", snapshot)

    async def _request(self, method: str, *params: object) -> object:
        answer = await self._web3.provider.make_request(RPCEndpoint(method), list(params))
        return answer["result"]

    async def close(self) -> None:
        """Close the connection."""
        await self._web3.provider.disconnect()


class AaveAudit(ChainAudit):
    """Reads an Aave market."""

    def __init__(self, node: LocalNode, market: AaveMarket, liquidator: str) -> None:
        super().__init__(node, liquidator)
        self._market = market
        artifacts = Artifacts(node.node_modules)
        self._pool = self._contract(market.pool, artifacts.abi("Pool"))
        self._data = self._contract(market.data_provider, artifacts.abi("AaveProtocolDataProvider"))

    async def health(self, account: str) -> int:
        """Return an account's health factor, 1e-18, as the pool computes it at the latest block."""
        data = await self._pool.functions.getUserAccountData(self._web3.to_checksum_address(account)).call()
        health: int = data[5]
        return health

    async def _remedy(self, account: str, health: int) -> str | None:
        held = {symbol: await self._reserve(account, symbol) for symbol in self._symbols()}
        for collateral in [symbol for symbol, reserve in held.items() if reserve[0] and reserve[8]]:
            for debt in [symbol for symbol, reserve in held.items() if reserve[1] or reserve[2]]:
                after = await self._health_after(account, self._liquidation(account, collateral, debt))
                if after is not None and after > health:
                    return f"repay {debt} for {collateral}: {after / WAD:.4f}"
        return None

    def _symbols(self) -> list[str]:
        return [asset.symbol for asset in self._market.assets]

    async def _reserve(self, account: str, symbol: str) -> Sequence[int]:
        token = self._web3.to_checksum_address(self._market.asset(symbol).token)
        reserve: Sequence[int] = await self._data.functions.getUserReserveData(
            token, self._web3.to_checksum_address(account)
        ).call()
        return reserve

    def _liquidation(self, account: str, collateral: str, debt: str) -> AsyncContractFunction:
        tokens = [self._web3.to_checksum_address(self._market.asset(symbol).token) for symbol in (collateral, debt)]
        user = self._web3.to_checksum_address(account)
        return self._pool.functions.liquidationCall(*tokens, user, UINT256_MAX, False)
