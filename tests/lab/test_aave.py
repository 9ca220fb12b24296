"""The deployed market is the one that was asked for, as its own contracts say."""

import pytest

from keeper.lab.localchain.aave import ZERO, AaveMarket, deploy_aave_market
from keeper.lab.localchain.assets import ASSETS, CATEGORIES, AssetSpec, Category
from keeper.lab.localchain.node import NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import read

pytestmark = pytest.mark.chain

CONFIGURATION = ("uint256",) * 5 + ("bool",) * 5
UINTS = ("uint256",)


@pytest.mark.parametrize("spec", ASSETS, ids=lambda spec: spec.symbol)
async def test_risk_parameters_read_back_as_set(rpc: LabRpc, market: AaveMarket, spec: AssetSpec) -> None:
    """Each reserve has the decimals, thresholds, factor and switches of its specification, and is active."""
    token = market.asset(spec.symbol).token
    answer = await read(rpc, market.data_provider, "getReserveConfigurationData(address)", token, returns=CONFIGURATION)
    assert answer == (
        *(spec.decimals, spec.ltv_bps, spec.threshold_bps, spec.bonus_bps, spec.reserve_factor_bps),
        *(True, True, spec.stable_borrowing, True, False),
    )


@pytest.mark.parametrize("spec", ASSETS, ids=lambda spec: spec.symbol)
async def test_prices_read_back_as_set(rpc: LabRpc, market: AaveMarket, spec: AssetSpec) -> None:
    """The oracle answers each asset's price from its own feed."""
    asset = market.asset(spec.symbol)
    price = await read(rpc, market.oracle, "getAssetPrice(address)", asset.token, returns=UINTS)
    source = await read(rpc, market.oracle, "getSourceOfAsset(address)", asset.token, returns=("address",))
    assert (price, source) == ((spec.price,), (asset.feed,))


@pytest.mark.parametrize("spec", ASSETS, ids=lambda spec: spec.symbol)
async def test_protocol_fee_is_ten_percent(rpc: LabRpc, market: AaveMarket, spec: AssetSpec) -> None:
    """A tenth of each liquidation bonus goes to the treasury."""
    token = market.asset(spec.symbol).token
    assert await read(rpc, market.data_provider, "getLiquidationProtocolFee(address)", token, returns=UINTS) == (1_000,)


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.label)
async def test_categories_read_back_as_set(rpc: LabRpc, market: AaveMarket, category: Category) -> None:
    """Each efficiency mode has its thresholds and no price source of its own."""
    types = ("(uint16,uint16,uint16,address,string)",)
    (answer,) = await read(rpc, market.pool, "getEModeCategoryData(uint8)", category.number, returns=types)
    assert answer == (category.ltv_bps, category.threshold_bps, category.bonus_bps, ZERO, category.label)


@pytest.mark.parametrize("spec", ASSETS, ids=lambda spec: spec.symbol)
async def test_asset_categories_read_back_as_set(rpc: LabRpc, market: AaveMarket, spec: AssetSpec) -> None:
    """Each asset is in the efficiency mode of its specification."""
    token = market.asset(spec.symbol).token
    answer = await read(rpc, market.data_provider, "getReserveEModeCategory(address)", token, returns=UINTS)
    assert answer == (spec.category,)


async def test_reserves_stand_in_the_order_of_the_market(rpc: LabRpc, market: AaveMarket) -> None:
    """The pool lists the reserves in the order of the specification."""
    (reserves,) = await read(rpc, market.pool, "getReservesList()", returns=("address[]",))
    assert reserves == tuple(asset.token for asset in market.assets)


async def test_the_provider_names_every_part(rpc: LabRpc, market: AaveMarket) -> None:
    """The addresses provider leads to pool, configurator, oracle, data provider and access control."""
    getters = ("getPool()", "getPoolConfigurator()", "getPriceOracle()", "getPoolDataProvider()", "getACLManager()")
    found = [(await read(rpc, market.provider, getter, returns=("address",)))[0] for getter in getters]
    assert found == [market.pool, market.configurator, market.oracle, market.data_provider, market.acl]


async def test_an_unknown_ticker_is_refused(market: AaveMarket) -> None:
    """Asking for an asset that is not listed is an error, never another asset."""
    with pytest.raises(KeyError, match="NOPE"):
        market.asset("NOPE")


async def test_first_block_is_before_the_first_event(rpc: LabRpc, market: AaveMarket) -> None:
    """Folding the logs from ``first_block`` misses nothing."""
    window = {"fromBlock": "0x0", "toBlock": hex(market.first_block - 1)} if market.first_block else None
    earlier = await rpc.call("eth_getLogs", window, answer=list[object]) if window else []
    assert earlier == []


@pytest.mark.slow
async def test_deployment_works_between_interval_blocks() -> None:
    """A node that mines by the clock takes the market as well, and goes on mining by the clock."""
    options = NodeOptions(block_time_seconds=0.05)
    async with running_node(options) as node, LabRpc(node.http_url) as rpc:
        market = await deploy_aave_market(rpc, node.node_modules)
        assert [asset.symbol for asset in market.assets] == [spec.symbol for spec in ASSETS]
        assert await rpc.call("anvil_getAutomine", answer=bool) is False
