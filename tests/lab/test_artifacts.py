"""Artifacts are loaded by name and linked by byte offset."""

from pathlib import Path

import pytest

from keeper.core.errors import ConfigError
from keeper.lab.localchain.artifacts import Artifact, Artifacts, LinkPlace
from keeper.lab.localchain.toolchain import find_node_modules

ADDRESS = "0x" + "Ab" * 20


def _unlinked() -> Artifact:
    code = "0x" + "6001" + "__$c0ffee$__".ljust(40, "_") + "6002"
    return Artifact("Linked", [], code, {"a.sol": {"Library": [LinkPlace(start=2, length=20)]}})


def test_linking_replaces_the_placeholder_only() -> None:
    """The address stands exactly where the placeholder stood."""
    assert _unlinked().linked({"Library": ADDRESS, "Other": ADDRESS}) == "0x6001" + "ab" * 20 + "6002"


def test_a_missing_library_is_refused() -> None:
    """Bytecode is never handed out with a placeholder in it."""
    with pytest.raises(ConfigError, match="Linked: needs the library Library"):
        _unlinked().linked({})


def test_the_published_pool_links_seven_libraries() -> None:
    """The pool of the npm package names the libraries that a deployment must bring."""
    pool = Artifacts(find_node_modules()).load("Pool")
    names = {name for source in pool.link_references.values() for name in source}
    assert names == {
        "BorrowLogic",
        "BridgeLogic",
        "EModeLogic",
        "FlashLoanLogic",
        "LiquidationLogic",
        "PoolLogic",
        "SupplyLogic",
    }


def test_an_unknown_contract_is_named() -> None:
    """A contract that the package lacks is an error with its name and a remedy."""
    with pytest.raises(ConfigError, match=r"NoSuch: no artifact in .*run `make setup`"):
        Artifacts(find_node_modules()).load("NoSuch")


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """Without the npm package every contract is unknown."""
    with pytest.raises(ConfigError, match="Pool: no artifact"):
        Artifacts(tmp_path).load("Pool")
