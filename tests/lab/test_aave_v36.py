"""The v3.6 market is the one that was asked for, and the upgraded one is of that version too."""

from pathlib import Path

import pytest

from keeper.core.errors import ConfigError
from keeper.lab.localchain.aave import ZERO, AaveMarket
from keeper.lab.localchain.aave_sources import v36_artifacts
from keeper.lab.localchain.aave_v36 import upgrade_to_v36
from keeper.lab.localchain.assets import ASSETS, STABLECOINS
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.toolchain import find_node_modules
from keeper.lab.localchain.transactions import read

pytestmark = [pytest.mark.chain, pytest.mark.slow]

REVISION = 10
UINTS = ("uint256",)
OF_V36 = pytest.mark.parametrize("versioned_market", ["3.6"], indirect=True)


@OF_V36
async def test_the_pool_and_the_reserves_are_of_the_version(rpc: LabRpc, versioned_market: AaveMarket) -> None:
    """The pool says its revision, lists the assets in their order, and none has a stable debt token."""
    market = versioned_market
    (reserves,) = await read(rpc, market.pool, "getReservesList()", returns=("address[]",))
    assert await read(rpc, market.pool, "POOL_REVISION()", returns=UINTS) == (REVISION,)
    assert reserves == tuple(asset.token for asset in market.assets)
    assert [asset.symbol for asset in market.assets] == [spec.symbol for spec in ASSETS]
    assert {asset.stable_debt_token for asset in market.assets} == {ZERO}


@OF_V36
async def test_the_stablecoins_are_members_of_their_mode(rpc: LabRpc, versioned_market: AaveMarket) -> None:
    """They can be collateral and be borrowed in it, and nothing else can."""
    members = sum(1 << place for place, spec in enumerate(ASSETS) if spec.category == STABLECOINS)
    for role in ("Collateral", "Borrowable"):
        signature = f"getEModeCategory{role}Bitmap(uint8)"
        assert await read(rpc, versioned_market.pool, signature, STABLECOINS, returns=UINTS) == (members,)


async def test_an_upgraded_market_is_of_the_version(rpc: LabRpc, anvil_node: LocalNode, market: AaveMarket) -> None:
    """Pool and tokens say their new revisions at their old addresses."""
    upgraded = await upgrade_to_v36(rpc, anvil_node.node_modules, market)
    assert (upgraded.version, upgraded.pool) == ("3.6", market.pool)
    assert await read(rpc, market.pool, "POOL_REVISION()", returns=UINTS) == (REVISION,)
    for asset in market.assets:
        found = [
            await read(rpc, token, getter, returns=UINTS)
            for token, getter in (
                (asset.a_token, "ATOKEN_REVISION()"),
                (asset.variable_debt_token, "DEBT_TOKEN_REVISION()"),
            )
        ]
        assert found == [(5,), (5,)]


def test_what_was_compiled_is_kept_beside_the_compiler() -> None:
    """Another process reads it there instead of compiling again."""
    modules = find_node_modules()
    first = v36_artifacts(modules)
    v36_artifacts.cache_clear()
    kept = modules / ".cache" / "margin-keeper"
    before = {file.name: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert v36_artifacts(modules) == first
    assert {file.name: file.stat().st_mtime_ns for file in kept.iterdir()} == before


def test_missing_sources_are_named(tmp_path: Path) -> None:
    """Without the npm package nothing is compiled, and the remedy is said."""
    with pytest.raises(ConfigError, match=r"aave-v3-origin.*run `make setup`"):
        v36_artifacts(tmp_path)
