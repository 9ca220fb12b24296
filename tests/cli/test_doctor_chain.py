"""``keeper doctor`` against a real node with the real contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.cli.doctor import examine
from keeper.cli.findings import Findings
from keeper.execution.keys import import_keystore, keystore_address
from keeper.lab.localchain.aave import deploy_aave_market
from keeper.lab.localchain.node import NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc
from keeper.settings import load_settings

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
CONFIG = """\
mode = "live"

[journal]
url = "sqlite://{folder}/journal.db"

[chains.local]
chain_id = 31337
http = ["{http}"]
ws = ["{ws}"]
wrapped_native = "{weth}"

[signers.main]
keystore = "main.json"

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "{root}"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"
"""


@pytest.mark.chain
@pytest.mark.slow
async def test_a_fresh_market_passes_every_check(tmp_path: Path) -> None:
    """A node with a deployed Aave v3 market, a funded signer and an empty folder is all that a run needs."""
    import_keystore(tmp_path / "main.json", KEY, "correct horse", work_factor=2)
    signer = "0x" + keystore_address(tmp_path / "main.json").hex()
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        market = await deploy_aave_market(rpc, node.node_modules)
        await rpc.call("anvil_setBalance", signer, hex(10**18), answer=object)
        config = tmp_path / "keeper.toml"
        weth = market.asset("WETH").token
        config.write_text(
            CONFIG.format(folder=tmp_path, http=node.http_url, ws=node.ws_url, weth=weth, root=market.provider)
        )
        findings = Findings(lambda _finding: None)
        await examine(load_settings(config, {"KEEPER__SIGNERS__MAIN__PASSWORD": "correct horse"}), findings)

    assert [finding for finding in findings.all if not finding.ok] == []
    assert [finding.detail for finding in findings.all if finding.check.startswith("venue aave ")] == [
        "pool revision 1, rules of 3.0",
        "the oracle counts one USD as 100000000",
        "4 of 4 answer",
    ]
