"""Deploy an Aave v3.6 market, and upgrade a v3.0.2 market to v3.6.

The order is that of :mod:`keeper.lab.localchain.aave`, with what changed since: one rate strategy for all assets, which
the pool's implementation names; two tokens per asset; decimals that are read from the asset; and efficiency modes that
list their assets, each as collateral, as borrowable, or both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from keeper.lab.localchain.aave import (
    FLASH_PREMIUM_BPS,
    LISTING_GAS,
    TREASURY,
    ZERO,
    AaveMarket,
    Core,
    Deployment,
    Ground,
    Setting,
    category_settings,
    risk_settings,
)
from keeper.lab.localchain.aave_sources import LOGIC, v36_artifacts
from keeper.lab.localchain.artifacts import Artifact, Artifacts
from keeper.lab.localchain.assets import ASSETS, CATEGORIES, AssetSpec, Category
from keeper.lab.localchain.compile import compile_contract
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import CREATION_GAS, Call, encode_arguments

INIT_RESERVES = "initReserves((address,address,address,string,string,string,string,bytes,bytes)[])"
UPDATE_A_TOKEN = "updateAToken((address,string,string,address,bytes))"  # noqa: S105 - a signature
UPDATE_DEBT_TOKEN = "updateVariableDebtToken((address,string,string,address,bytes))"  # noqa: S105 - a signature
SECOND_STAGE = "FlashLoanLogic"


async def deploy_v36_market(
    rpc: LabRpc,
    node_modules: Path,
    *,
    assets: Sequence[AssetSpec] = ASSETS,
    categories: Sequence[Category] = CATEGORIES,
) -> AaveMarket:
    """Deploy a market of v3.6; see :func:`~keeper.lab.localchain.aave.deploy_aave_market`. No asset has stable debt."""
    first_block = int(await rpc.call("eth_blockNumber", answer=str), 16)
    listed = tuple(replace(spec, stable_borrowing=False) for spec in assets)
    return await (await _deployment(rpc, node_modules)).run(first_block, listed, tuple(categories))


async def upgrade_to_v36(rpc: LabRpc, node_modules: Path, market: AaveMarket) -> AaveMarket:
    """Upgrade a market of v3.0.2 through its proxies, and return it as it is called from now on.

    Pool, configurator and every token get their new implementation, and the efficiency modes get their members anew,
    which the new pool keeps in another form; it would read a price source as members, so they lose theirs before.
    What each reserve may pay out is counted from zero by the new pool, and stable debts are forgotten.
    """
    return await (await _deployment(rpc, node_modules)).upgrade(market)


async def _deployment(rpc: LabRpc, node_modules: Path) -> _Deployment36:
    admin = (await rpc.call("eth_accounts", answer=list[str]))[0].lower()
    feed_code = await asyncio.to_thread(compile_contract, "SettableFeed", node_modules)
    compiled = await asyncio.to_thread(v36_artifacts, node_modules)
    return _Deployment36(rpc, Artifacts(node_modules), admin, feed_code, compiled)


@dataclass(frozen=True, slots=True)
class _Deployment36(Deployment):
    """A deployment in progress; ``compiled`` are the artifacts that 3.6 changed."""

    compiled: dict[str, Artifact]

    version: ClassVar[str] = "3.6"
    libraries: ClassVar[tuple[str, ...]] = tuple(name for name in LOGIC if name != SECOND_STAGE)

    async def _build_core(self, ground: Ground) -> Core:
        provider = ground.provider
        await self._send(provider, ("setACLAdmin(address)", self.admin))
        acl, oracle = await self._create(
            [self._creation("ACLManager", "(address)", provider), self._oracle(ground)],
        )
        await self._connect(provider, acl, oracle)
        pool, configurator = await self._implementations(provider, ground.libraries)
        await self._send(provider, ("setPoolImpl(address)", pool), ("setPoolConfiguratorImpl(address)", configurator))
        (data_provider,) = await self._create([self._new("AaveProtocolDataProvider", "(address)", provider)])
        await self._send(provider, ("setPoolDataProvider(address)", data_provider))
        return Core(
            provider=provider,
            pool=await self._address(provider, "getPool()"),
            configurator=await self._address(provider, "getPoolConfigurator()"),
            oracle=oracle,
            data_provider=data_provider,
            acl=acl,
        )

    async def _implementations(self, provider: str, libraries: dict[str, str]) -> tuple[str, str]:
        """Create the pool, with its rate strategy, and the configurator."""
        flash_loan, strategy, configurator = await self._create(
            [
                self._new(SECOND_STAGE, libraries=libraries),
                self._new("DefaultReserveInterestRateStrategyV2", "(address)", provider),
                self._new("PoolConfiguratorInstance", libraries=libraries),
            ]
        )
        linked = {**libraries, SECOND_STAGE: flash_loan}
        (pool,) = await self._create(
            [self._new("PoolInstance", "(address,address)", provider, strategy, libraries=linked)]
        )
        return pool, configurator

    async def _list(self, core: Core, ground: Ground, assets: Sequence[AssetSpec]) -> None:
        a_token, variable = await self._token_implementations(core.pool)
        inputs = [
            (
                *(a_token, variable, token),
                *(f"Aave {spec.symbol}", f"a{spec.symbol}"),
                *(f"Aave variable debt {spec.symbol}", f"variableDebt{spec.symbol}"),
                *(b"", _rate_data(spec)),
            )
            for spec, token in zip(assets, ground.tokens, strict=True)
        ]
        await self._send(core.configurator, (INIT_RESERVES, inputs), gas=LISTING_GAS)

    async def _token_implementations(self, pool: str) -> list[str]:
        return await self._create(
            [
                self._new("ATokenInstance", "(address,address,address)", pool, ZERO, TREASURY),
                self._new("VariableDebtTokenInstance", "(address,address)", pool, ZERO),
            ]
        )

    async def _configure(
        self, core: Core, ground: Ground, assets: Sequence[AssetSpec], categories: Sequence[Category]
    ) -> None:
        settings: list[Setting] = [("updateFlashloanPremium(uint128)", FLASH_PREMIUM_BPS)]
        for spec, token in zip(assets, ground.tokens, strict=True):
            settings += [("setReserveBorrowing(address,bool)", token, True), *risk_settings(spec, token)]
        settings += _category_settings(categories)
        members = [(spec.category, token) for spec, token in zip(assets, ground.tokens, strict=True) if spec.category]
        await self._send(core.configurator, *settings, *_memberships(members))

    async def upgrade(self, market: AaveMarket) -> AaveMarket:
        """Upgrade everything of a market that has an implementation."""
        await self._send(market.configurator, *category_settings(market.categories))
        created = await self._create([self._library(name) for name in self.libraries])
        libraries = dict(zip(self.libraries, created, strict=True))
        pool, configurator = await self._implementations(market.provider, libraries)
        a_token, variable = await self._token_implementations(market.pool)
        (data_provider,) = await self._create([self._new("AaveProtocolDataProvider", "(address)", market.provider)])
        await self._send(
            market.provider,
            ("setPoolImpl(address)", pool),
            ("setPoolConfiguratorImpl(address)", configurator),
            ("setPoolDataProvider(address)", data_provider),
        )
        settings: list[Setting] = []
        for asset in market.assets:
            name = asset.symbol
            settings += [
                (UPDATE_A_TOKEN, (asset.token, f"Aave {name}", f"a{name}", a_token, b"")),
                (UPDATE_DEBT_TOKEN, (asset.token, f"Debt {name}", f"variableDebt{name}", variable, b"")),
                ("setReserveInterestRateData(address,bytes)", asset.token, _rate_data(asset.spec)),
            ]
        members = [(asset.spec.category, asset.token) for asset in market.assets if asset.spec.category]
        await self._send(market.configurator, *settings, *_memberships(members))
        assets = tuple(replace(asset, spec=replace(asset.spec, stable_borrowing=False)) for asset in market.assets)
        return replace(market, version=self.version, data_provider=data_provider, assets=assets)

    def _library(self, name: str) -> Call:
        return self._new(name)

    def _new(self, name: str, types: str = "()", *arguments: object, libraries: dict[str, str] | None = None) -> Call:
        code = self.compiled[name].linked(libraries or {})
        return Call(self.admin, None, code + encode_arguments(types, *arguments), CREATION_GAS)


def _rate_data(spec: AssetSpec) -> bytes:
    figures = (spec.optimal_usage_bps, 0, spec.slope1_bps, spec.slope2_bps)
    return bytes.fromhex(encode_arguments("(uint16,uint32,uint32,uint32)", *figures))


def _category_settings(categories: Sequence[Category]) -> list[Setting]:
    return [
        (
            "setEModeCategory(uint8,uint16,uint16,uint16,string)",
            *(one.number, one.ltv_bps, one.threshold_bps, one.bonus_bps, one.label),
        )
        for one in categories
    ]


def _memberships(members: Sequence[tuple[int, str]]) -> list[Setting]:
    """Return the calls that let assets be collateral and be borrowed in a category, by number and asset."""
    return [
        (f"setAsset{role}InEMode(address,uint8,bool)", token, number, True)
        for number, token in members
        for role in ("Collateral", "Borrowable")
    ]
