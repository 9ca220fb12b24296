"""A real market with borrowers on a real node, and the files that an operator would prepare for a keeper of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from string import Template

from keeper.core.ids import Hash32, to_hex
from keeper.execution.keys import import_keystore
from keeper.lab.demo.crash import Scene, open_scene
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.prices import VOLATILE, move_prices
from keeper.lab.localchain.rpc import LabRpc
from tests.app.keeper_process import KeeperProcess

SEED = 7
BORROWERS = 6
PASSWORD = "correct horse"
PASSWORD_VARIABLE = "KEEPER__SIGNERS__MAIN__PASSWORD"
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
ws = [$ws]
wrapped_native = "$wrapped_native"
poll_interval_seconds = 0.2
request_timeout_seconds = 2.0
stale_after_seconds = $stale_after_seconds

[signers.main]
keystore = "main.json"
in_flight_max = 16
bump_after_blocks = 100
valid_for_blocks = 1000

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "$provider"
from_block = $from_block
prices = "events"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"

[limits]
profit_usd_min = -100
head_age_seconds_max = 600
spend_usd_per_hour_max = 50_000_000
spend_usd_per_intent_max = 5_000_000
kill_switch_file = "STOP"
""")


@dataclass
class Market:
    """Everything a test of the daemon acts on; ``folder`` holds the configuration, the keystore and the journal."""

    node: LocalNode
    rpc: LabRpc
    scene: Scene
    folder: Path
    sent_before: int = 0
    http_url: str = ""
    stale_after_seconds: int = 60
    changes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def aave(self) -> AaveMarket:
        """The protocol and its assets."""
        return self.scene.market

    @property
    def signer(self) -> str:
        """The address of the key in the keystore."""
        return self.scene.liquidator.address.lower()

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "journal.db"

    @property
    def kill_switch(self) -> Path:
        """The file that stops everything."""
        return self.folder / "STOP"

    def keeper(
        self, *arguments: str, password: str | None = PASSWORD, environment: Mapping[str, str] | None = None
    ) -> KeeperProcess:
        """Write the configuration and return a keeper of it that was not started yet."""
        config = self.folder / "keeper.toml"
        config.write_text(self.configuration(), encoding="utf-8")
        secrets = {} if password is None else {PASSWORD_VARIABLE: password}
        return KeeperProcess(config, *arguments, environment={**secrets, **(environment or {})})

    def configuration(self) -> str:
        """Return the text of the configuration."""
        text = CONFIG.substitute(
            folder=self.folder,
            http=self.http_url or self.node.http_url,
            ws="" if self.http_url else f'"{self.node.ws_url}"',
            wrapped_native=self.aave.asset("WETH").token,
            provider=self.aave.provider,
            from_block=self.aave.first_block,
            stale_after_seconds=self.stale_after_seconds,
        )
        for old, new in self.changes:
            assert old in text
            text = text.replace(old, new)
        return text

    def second(self, *changes: tuple[str, str]) -> Market:
        """Return the same market for another keeper of the same key, with files and a journal of its own."""
        folder = self.folder / "second"
        folder.mkdir()
        keystore = folder / "main.json"
        keystore.write_bytes((self.folder / keystore.name).read_bytes())
        keystore.chmod(0o600)
        return replace(self, folder=folder, changes=[*self.changes, *changes])

    async def crash(self, percent: int = 40) -> None:
        """Let the volatile assets lose so much that accounts are unsafe, in one block."""
        prices = {symbol: self.aave.asset(symbol).price * (100 - percent) // 100 for symbol in VOLATILE}
        await move_prices(self.rpc, self.aave, prices)

    async def until_allowed(self, keeper: KeeperProcess) -> None:
        """Wait until a new keeper has nothing to do: what it may need is allowed to the pool, and that is final."""
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await self.mine()
        await keeper.until_status(lambda status: status["intents"])
        while (await keeper.status())["intents"]:
            await self.mine()
            assert not await keeper.ends_before(await self.height())

    async def left_by(self, keeper: KeeperProcess) -> int:
        """Ask a keeper to leave while blocks go on, as they do on any chain; return its exit code."""
        keeper.ask_to_leave()

        async def mined() -> bool:
            await self.mine()
            return False

        await keeper.holds_before_it_ends(mined)
        return await keeper.exit_code()

    async def mine(self) -> None:
        """Make a block."""
        await self.rpc.call("evm_mine", answer=str)

    async def mine_only_when_told(self) -> None:
        """Leave transactions in the pool until :meth:`mine`."""
        await self.rpc.call("evm_setAutomine", False, answer=type(None))

    async def mine_each(self) -> None:
        """Mine each transaction as it comes, as a node does that was not told otherwise."""
        await self.rpc.call("evm_setAutomine", True, answer=type(None))

    async def sent(self) -> int:
        """Return how many transactions the signer has sent since the market was opened, mined or not."""
        count = await self.rpc.call("eth_getTransactionCount", self.signer, "pending", answer=str)
        return int(count, 16) - self.sent_before

    async def height(self) -> int:
        """Return the newest block's number."""
        return int(await self.rpc.call("eth_blockNumber", answer=str), 16)

    async def is_mined(self, tx_hash: Hash32) -> bool:
        """Tell whether a transaction is in a block."""
        receipt = await self.rpc.call("eth_getTransactionReceipt", to_hex(tx_hash), answer=object)
        return receipt is not None


@asynccontextmanager
async def opened_market(folder: Path) -> AsyncIterator[Market]:
    """Start a node on the wall clock, deploy the protocol, open accounts, and prepare a keystore in ``folder``."""
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        scene = await open_scene(rpc, node, seed=SEED, borrowers=BORROWERS)
        import_keystore(folder / "main.json", scene.liquidator.key.hex(), PASSWORD, work_factor=2**4)
        market = Market(node, rpc, scene, folder)
        market.sent_before = await market.sent()
        yield market
