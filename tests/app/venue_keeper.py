"""A live keeper with one signer on a local node; a test names its venues, its strategies and its limits."""

from __future__ import annotations

from pathlib import Path
from string import Template

from keeper.lab.localchain.node import LocalNode
from tests.app.keeper_process import KeeperProcess

PASSWORD = "correct horse"
CONFIG = Template("""\
mode = "live"

[journal]
url = "sqlite://$folder/journal.db"

[http]
listen = "127.0.0.1:0"

[log]
format = "json"

[chains.local]
chain_id = 31337
http = ["$http"]
ws = ["$ws"]
wrapped_native = "$native"
poll_interval_seconds = 0.2

[signers.main]
keystore = "main.json"

$rest
""")


def live_keeper(folder: Path, node: LocalNode, *, native: str, rest: str) -> KeeperProcess:
    """Write the configuration and return a live keeper of it that was not started yet.

    Args:
        folder: Where its files are, the keystore ``main.json`` among them, opened by :data:`PASSWORD`.
        node: The chain.
        native: The token whose price values gas.
        rest: What follows in the file: venues, strategies and limits.
    """
    config = folder / "keeper.toml"
    text = CONFIG.substitute(folder=folder, http=node.http_url, ws=node.ws_url, native=native, rest=rest)
    config.write_text(text, encoding="utf-8")
    return KeeperProcess(config, "--live", environment={"KEEPER__SIGNERS__MAIN__PASSWORD": PASSWORD})
