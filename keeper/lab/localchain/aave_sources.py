"""The contracts of Aave v3.6, which npm has as sources only, compiled as upstream compiles them.

Two contracts may share a name in different files, so each is named with its file. What 3.6 did not change in substance
(the addresses provider, access control, the oracle, a token to list) is taken from the 3.0.2 artifacts, as on the
mainnets, where those contracts are the first ones still.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from pathlib import Path

from keeper.core.errors import ConfigError
from keeper.lab.localchain.artifacts import Artifact
from keeper.lab.localchain.compile import compile_artifacts

ORIGIN_PACKAGE = Path("@aave-dao") / "aave-v3-origin" / "src" / "contracts"
COMPILER = "solc-0.8.27"
LOGIC = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "PoolLogic", "ConfiguratorLogic", "FlashLoanLogic")
CONTRACTS = {
    **{name: f"aave/protocol/libraries/logic/{name}.sol" for name in LOGIC},
    **{
        name: f"aave/instances/{name}.sol"
        for name in ("PoolInstance", "PoolConfiguratorInstance", "ATokenInstance", "VariableDebtTokenInstance")
    },
    "DefaultReserveInterestRateStrategyV2": "aave/misc/DefaultReserveInterestRateStrategyV2.sol",
    "AaveProtocolDataProvider": "aave/helpers/AaveProtocolDataProvider.sol",
}
REMAPPINGS = {"aave/": ORIGIN_PACKAGE, "openzeppelin-contracts/contracts/": Path("@openzeppelin") / "contracts"}
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "shanghai",
    "metadata": {"bytecodeHash": "none"},
}
IMPORT = re.compile(r"""^import\s(?:[^'"]*\sfrom\s)?['"]([^'"]+)['"]""", re.MULTILINE)


@lru_cache(maxsize=2)
def v36_artifacts(node_modules: Path) -> dict[str, Artifact]:
    """Return the artifacts of Aave v3.6 by name.

    Raises:
        ConfigError: a package is not installed, or its sources do not compile.
    """
    return compile_artifacts(_sources(node_modules), CONTRACTS, SETTINGS, node_modules / COMPILER)


def _sources(node_modules: Path) -> dict[str, str]:
    """Return every source that the contracts need, by the name it is imported by."""
    sources: dict[str, str] = {}
    waiting = sorted(set(CONTRACTS.values()))
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = _text(node_modules, name)
            waiting += [_resolved(name, named) for named in IMPORT.findall(sources[name])]
    return dict(sorted(sources.items()))


def _resolved(importer: str, named: str) -> str:
    folder = posixpath.dirname(importer)
    return posixpath.normpath(posixpath.join(folder, named) if named.startswith(".") else named)


def _text(node_modules: Path, name: str) -> str:
    for prefix, package in REMAPPINGS.items():
        file = node_modules / package / name.removeprefix(prefix)
        if name.startswith(prefix) and file.is_file():
            return file.read_text(encoding="utf-8")
    raise ConfigError(f"{ORIGIN_PACKAGE} {name}", f"no source in {node_modules}", "run `make setup`")
