"""The files of known deployments load, agree with the published address book, and satisfy ``keeper doctor``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_utils.address import is_checksum_address

from keeper.cli.doctor import examine
from keeper.cli.findings import Findings
from keeper.lab.localchain.toolchain import find_node_modules
from keeper.settings import Settings, load_settings
from keeper.venues.aave_v3.reads import POOL_REVISION
from tests.cli.scripted_node import hex_word, scripted_node

FOLDER = Path(__file__).parents[2] / "config" / "venues"
CHAINS = {"aave_v3_ethereum": 1, "aave_v3_optimism": 10, "aave_v3_base": 8453, "aave_v3_arbitrum": 42161}
ADDRESS = re.compile(r'"(0x[0-9a-fA-F]{40})"')
BOOK = Path("@aave-dao") / "aave-address-book" / "dist"


def _load(name: str, http: str = "http://127.0.0.1:8545") -> Settings:
    chain = name.rpartition("_")[2].upper()
    return load_settings(FOLDER / f"{name}.toml", {f"KEEPER__CHAINS__{chain}__HTTP": f'["{http}"]'})


def test_every_file_is_known_here() -> None:
    """A file that is added is tested too."""
    assert {file.stem for file in FOLDER.iterdir()} == set(CHAINS)


@pytest.mark.parametrize("name", CHAINS)
def test_a_known_deployment_lacks_only_its_node(name: str) -> None:
    """It loads once a node is given, watches without sending, and begins by reading at one block."""
    settings = _load(name)
    (chain,), (venue,) = settings.chains.values(), settings.venues.values()
    assert (settings.mode, chain.chain_id, venue.bootstrap) == ("dry-run", CHAINS[name], "snapshot")
    assert venue.from_block > 0


@pytest.mark.parametrize("name", CHAINS)
def test_its_addresses_carry_their_checksum(name: str) -> None:
    """A mistyped digit would show; and no address stands for two things."""
    found = ADDRESS.findall((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert [each for each in found if not is_checksum_address(each)] == []
    assert len(set(found)) == len(found) == 2


def test_no_two_files_are_one_deployment() -> None:
    """The same address may stand on two chains, the same deployment may not."""
    loaded = [_load(name) for name in CHAINS]
    known = {(next(iter(each.chains.values())).chain_id, each.venues["aave"].address) for each in loaded}
    assert len(known) == len(CHAINS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_the_published_address_book_says_the_same(name: str) -> None:
    """Chain id, addresses provider and wrapped ether are those of the npm package."""
    market = f"AaveV3{name.rpartition('_')[2].capitalize()}"
    book = (find_node_modules() / BOOK / f"{market}.mjs").read_text(encoding="utf-8")
    ours = ADDRESS.findall((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    (root,) = re.findall(r'^var POOL_ADDRESSES_PROVIDER = "(\w+)";$', book, re.MULTILINE)
    (chain_id,) = re.findall(r"^var CHAIN_ID = (\d+);$", book, re.MULTILINE)
    (wrapped,) = re.findall(r'^ +WETH: \{[^{}]*?UNDERLYING: "(\w+)"', book, re.MULTILINE)
    assert (int(chain_id), {root, wrapped}) == (CHAINS[name], set(ours))


@pytest.mark.parametrize("name", CHAINS)
async def test_doctor_checks_a_known_deployment_on_its_node(name: str) -> None:
    """With a node of the chain: that the root has code, that the pool's rules are known, that the feeds answer."""
    async with scripted_node() as node:
        node.answers["eth_chainId"] = lambda: hex(CHAINS[name])
        node.views[POOL_REVISION] = hex_word(10)
        findings = Findings(lambda _finding: None)
        await examine(_load(name, node.url), findings)
    of_venue = [finding for finding in findings.all if finding.check.startswith("venue aave")]
    assert [finding.detail for finding in of_venue if not finding.ok] == []
    assert "pool revision 10, rules of 3.6" in [finding.detail for finding in of_venue]
