"""Deploy a whole Aave v3.0.2 market from the published artifacts.

The order is dictated by the contracts, which read each other in their constructors and initializers:

1. libraries, then those that link a library;
2. the addresses provider; its ACL admin *before* the ACL manager (else error 75);
3. implementations; ``setPoolImpl`` *before* ``setPoolConfiguratorImpl``, because the configurator's initializer asks
   the provider for the pool. Both setters create the proxy that everyone talks to;
4. token implementations, which take the pool's **proxy**; then ``initReserves`` creates three proxies per asset;
5. per asset: borrowing before stable borrowing, collateral configuration, fees; categories last, since a category's
   thresholds must exceed those of its members.

Each stage is sent as one batch with explicit nonces and mined at once, so a market takes well under two seconds, on
a node of any mining rhythm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.assets import ASSETS, CATEGORIES, PRICE_DECIMALS, AssetSpec, Category
from keeper.lab.localchain.compile import compile_contract
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import CREATION_GAS, Call, encode_arguments, encode_call, read, submit

Setting = tuple[object, ...]
"""A call of the configurator: signature, then arguments."""
RAY = 10**27
ZERO = "0x" + "00" * 20
TREASURY = "0x" + "7e" * 20
LISTING_GAS = 25_000_000
PROTOCOL_FEE_BPS = 1_000
FLASH_PREMIUM_BPS = 9
FLASH_PREMIUM_TO_PROTOCOL_BPS = 4

INIT_RESERVES = (
    "initReserves((address,address,address,uint8,address,address,address,address,"
    "string,string,string,string,string,string,bytes)[])"
)
LIBRARIES = (
    "SupplyLogic",
    "BorrowLogic",
    "LiquidationLogic",
    "EModeLogic",
    "BridgeLogic",
    "ConfiguratorLogic",
    "PoolLogic",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A listed asset: what was asked for, and where everything of it lives."""

    spec: AssetSpec
    token: str
    a_token: str
    stable_debt_token: str
    variable_debt_token: str
    feed: str

    @property
    def symbol(self) -> str:
        """Ticker."""
        return self.spec.symbol

    @property
    def decimals(self) -> int:
        """Decimals of the token."""
        return self.spec.decimals

    @property
    def price(self) -> int:
        """Price at deployment, 1e-8 USD per whole token."""
        return self.spec.price


@dataclass(frozen=True, slots=True, kw_only=True)
class AaveMarket:
    """Every address of a deployed market; lower-case 0x-hexadecimal.

    ``admin`` holds all roles and is an unlocked account of the node. ``first_block`` is at or before the first event.
    ``category_feed`` is a spare price feed, registered in the oracle under its own address, for categories that get
    a price source. ``version`` of the protocol is ``"3.0"`` or ``"3.6"``.
    """

    version: str = "3.0"
    provider: str
    pool: str
    configurator: str
    oracle: str
    data_provider: str
    acl: str
    admin: str
    treasury: str
    category_feed: str
    first_block: int
    assets: tuple[Asset, ...]
    categories: tuple[Category, ...]

    def asset(self, symbol: str) -> Asset:
        """Return the asset with this ticker.

        Raises:
            KeyError: there is none.
        """
        for asset in self.assets:
            if asset.symbol == symbol:
                return asset
        raise KeyError(symbol)


async def deploy_aave_market(
    rpc: LabRpc,
    node_modules: Path,
    *,
    assets: Sequence[AssetSpec] = ASSETS,
    categories: Sequence[Category] = CATEGORIES,
) -> AaveMarket:
    """Deploy a market on a local node and return where everything is.

    Args:
        rpc: A node with unlocked accounts; the first one becomes the administrator.
        node_modules: Where npm put the published contracts.
        assets: What to list, in reserve order.
        categories: The efficiency-mode categories.

    Raises:
        ConfigError: an artifact or the compiler is missing.
        NodeRefused: a transaction was reverted.
    """
    admin = (await rpc.call("eth_accounts", answer=list[str]))[0].lower()
    first_block = int(await rpc.call("eth_blockNumber", answer=str), 16)
    feed_code = await asyncio.to_thread(compile_contract, "SettableFeed", node_modules)
    return await Deployment(rpc, Artifacts(node_modules), admin, feed_code).run(
        first_block, tuple(assets), tuple(categories)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The addresses that exist before any asset is listed."""

    provider: str
    pool: str
    configurator: str
    oracle: str
    data_provider: str
    acl: str


@dataclass(frozen=True, slots=True)
class Ground:
    """What stands on its own: libraries by name, the provider, tokens and feeds in asset order."""

    libraries: dict[str, str]
    provider: str
    category_feed: str
    tokens: list[str]
    feeds: list[str]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment in progress: the node, the artifacts, who signs."""

    rpc: LabRpc
    artifacts: Artifacts
    admin: str
    feed_code: str

    version: ClassVar[str] = "3.0"
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    async def run(
        self, first_block: int, assets: tuple[AssetSpec, ...], categories: tuple[Category, ...]
    ) -> AaveMarket:
        """Deploy the whole market."""
        ground = await self._lay_ground(assets)
        core = await self._build_core(ground)
        await self._list(core, ground, assets)
        await self._configure(core, ground, assets, categories)
        return AaveMarket(
            version=self.version,
            provider=core.provider,
            pool=core.pool,
            configurator=core.configurator,
            oracle=core.oracle,
            data_provider=core.data_provider,
            acl=core.acl,
            admin=self.admin,
            treasury=TREASURY,
            category_feed=ground.category_feed,
            first_block=first_block,
            assets=tuple(
                [
                    await self._asset(core, spec, token, feed)
                    for spec, token, feed in zip(assets, ground.tokens, ground.feeds, strict=True)
                ]
            ),
            categories=categories,
        )

    async def _lay_ground(self, assets: Sequence[AssetSpec]) -> Ground:
        """Deploy what needs nothing else: libraries, provider, tokens, feeds."""
        libraries = [self._library(name) for name in self.libraries]
        provider = self._creation("PoolAddressesProvider", "(string,address)", "Local market", self.admin)
        feeds = [self._feed(f"{spec.symbol} / USD", spec.price) for spec in assets]
        tokens = [
            self._creation("MintableERC20", "(string,string,uint8)", spec.symbol, spec.symbol, spec.decimals)
            for spec in assets
        ]
        category_feed = self._feed("Category / USD", 10**PRICE_DECIMALS)
        created = await self._create([*libraries, provider, category_feed, *tokens, *feeds])
        by_name = dict(zip(self.libraries, created, strict=False))
        rest = created[len(self.libraries) :]
        return Ground(by_name, rest[0], rest[1], rest[2 : 2 + len(assets)], rest[2 + len(assets) :])

    async def _build_core(self, ground: Ground) -> Core:
        """Deploy and connect the contracts of the protocol itself."""
        provider = ground.provider
        await self._send(provider, ("setACLAdmin(address)", self.admin))
        flash_loan, acl, configurator, oracle, data_provider = await self._create(
            [
                self._creation("FlashLoanLogic", libraries=ground.libraries),
                self._creation("ACLManager", "(address)", provider),
                self._creation("PoolConfigurator", libraries=ground.libraries),
                self._oracle(ground),
                self._creation("AaveProtocolDataProvider", "(address)", provider),
            ]
        )
        libraries = {**ground.libraries, "FlashLoanLogic": flash_loan}
        (pool,) = await self._create([self._creation("Pool", "(address)", provider, libraries=libraries)])
        await self._connect(provider, acl, oracle)
        await self._send(
            provider,
            ("setPoolDataProvider(address)", data_provider),
            ("setPoolImpl(address)", pool),
            ("setPoolConfiguratorImpl(address)", configurator),
        )
        return Core(
            provider=provider,
            pool=await self._address(provider, "getPool()"),
            configurator=await self._address(provider, "getPoolConfigurator()"),
            oracle=oracle,
            data_provider=data_provider,
            acl=acl,
        )

    def _oracle(self, ground: Ground) -> Call:
        return self._creation(
            "AaveOracle",
            "(address,address[],address[],address,address,uint256)",
            ground.provider,
            [*ground.tokens, ground.category_feed],
            [*ground.feeds, ground.category_feed],
            ZERO,
            ZERO,
            10**PRICE_DECIMALS,
        )

    async def _connect(self, provider: str, acl: str, oracle: str) -> None:
        """Give the administrator every role, and name access control and oracle."""
        roles = ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin")
        await self._send(acl, *((f"{role}(address)", self.admin) for role in roles))
        await self._send(provider, ("setACLManager(address)", acl), ("setPriceOracle(address)", oracle))

    async def _list(self, core: Core, ground: Ground, assets: Sequence[AssetSpec]) -> None:
        """Create the three tokens and the rate strategy of every asset."""
        implementations = [
            self._creation(n, "(address)", core.pool) for n in ("AToken", "StableDebtToken", "VariableDebtToken")
        ]
        strategies = [self._rate_strategy(core.provider, spec) for spec in assets]
        a_token, stable, variable, *rates = await self._create([*implementations, *strategies])
        inputs = [
            (
                a_token,
                stable,
                variable,
                spec.decimals,
                rate,
                token,
                TREASURY,
                ZERO,
                *(f"Aave {spec.symbol}", f"a{spec.symbol}"),
                *(f"Aave variable debt {spec.symbol}", f"variableDebt{spec.symbol}"),
                *(f"Aave stable debt {spec.symbol}", f"stableDebt{spec.symbol}"),
                b"",
            )
            for spec, token, rate in zip(assets, ground.tokens, rates, strict=True)
        ]
        await self._send(core.configurator, (INIT_RESERVES, inputs), gas=LISTING_GAS)

    async def _configure(
        self, core: Core, ground: Ground, assets: Sequence[AssetSpec], categories: Sequence[Category]
    ) -> None:
        """Set the risk parameters."""
        settings: list[Setting] = [
            ("updateFlashloanPremiumTotal(uint128)", FLASH_PREMIUM_BPS),
            ("updateFlashloanPremiumToProtocol(uint128)", FLASH_PREMIUM_TO_PROTOCOL_BPS),
        ]
        for spec, token in zip(assets, ground.tokens, strict=True):
            settings += _reserve_settings(spec, token)
        settings += category_settings(categories)
        settings += [
            ("setAssetEModeCategory(address,uint8)", token, spec.category)
            for spec, token in zip(assets, ground.tokens, strict=True)
            if spec.category
        ]
        await self._send(core.configurator, *settings)

    async def _asset(self, core: Core, spec: AssetSpec, token: str, feed: str) -> Asset:
        a_token, stable, variable = await read(
            self.rpc,
            core.data_provider,
            "getReserveTokensAddresses(address)",
            token,
            returns=("address", "address", "address"),
        )
        return Asset(
            spec=spec, token=token, a_token=a_token, stable_debt_token=stable, variable_debt_token=variable, feed=feed
        )

    def _creation(
        self, name: str, types: str = "()", *arguments: object, libraries: dict[str, str] | None = None
    ) -> Call:
        code = self.artifacts.load(name).linked(libraries or {})
        return Call(self.admin, None, code + encode_arguments(types, *arguments), CREATION_GAS)

    def _library(self, name: str) -> Call:
        return self._creation(name)

    def _feed(self, description: str, price: int) -> Call:
        arguments = encode_arguments("(uint8,string,int256)", PRICE_DECIMALS, description, price)
        return Call(self.admin, None, self.feed_code + arguments, CREATION_GAS)

    def _rate_strategy(self, provider: str, spec: AssetSpec) -> Call:
        """Rates of the shape used on mainnet; stable rates start one point above the first slope."""
        bps = RAY // 10_000
        return self._creation(
            "DefaultReserveInterestRateStrategy",
            "(address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)",
            provider,
            *(spec.optimal_usage_bps * bps, 0, spec.slope1_bps * bps, spec.slope2_bps * bps),
            *(spec.slope1_bps * bps, spec.slope2_bps * bps, 100 * bps, 800 * bps, 2_000 * bps),
        )

    async def _create(self, creations: Sequence[Call]) -> list[str]:
        return [receipt.contract_address or ZERO for receipt in await submit(self.rpc, creations)]

    async def _send(self, to: str, *calls: tuple[object, ...], gas: int = 0) -> None:
        """Call functions of one contract, each given as signature and arguments."""
        await submit(
            self.rpc,
            [Call(self.admin, to, encode_call(str(name), *rest), gas or CREATION_GAS) for name, *rest in calls],
        )

    async def _address(self, to: str, signature: str) -> str:
        return str((await read(self.rpc, to, signature, returns=("address",)))[0])


def _reserve_settings(spec: AssetSpec, token: str) -> list[Setting]:
    stable = ("setReserveStableRateBorrowing(address,bool)", token, spec.stable_borrowing)
    return [("setReserveBorrowing(address,bool)", token, True), stable, *risk_settings(spec, token)]


def category_settings(categories: Sequence[Category]) -> list[Setting]:
    """Return the calls of a v3.0 configurator that make categories without a price source."""
    return [
        (
            "setEModeCategory(uint8,uint16,uint16,uint16,address,string)",
            *(one.number, one.ltv_bps, one.threshold_bps, one.bonus_bps, ZERO, one.label),
        )
        for one in categories
    ]


def risk_settings(spec: AssetSpec, token: str) -> list[Setting]:
    """Return the configurator's calls for one reserve that is borrowable."""
    return [
        (
            "configureReserveAsCollateral(address,uint256,uint256,uint256)",
            *(token, spec.ltv_bps, spec.threshold_bps, spec.bonus_bps),
        ),
        ("setReserveFlashLoaning(address,bool)", token, True),
        ("setReserveFactor(address,uint256)", token, spec.reserve_factor_bps),
        ("setLiquidationProtocolFee(address,uint256)", token, PROTOCOL_FEE_BPS),
    ]
