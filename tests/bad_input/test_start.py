"""What keeps the daemon from starting: each is one line with thing, reason and remedy, and the interface's exit code.

The table is the list of issue 2, "Bad input", as far as it is met at the start; the rest is ``test_running.py``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest
import pytest_asyncio
from aiohttp import web

from keeper.core.facts import ClockTicked
from keeper.execution.keys import import_keystore
from keeper.journal.sqlite import SqliteJournal
from tests.app.keeper_process import KeeperProcess, started
from tests.chain.journals import read_journal, replayed
from tests.chain_ingestion.scripted import CHAIN_ID, PASS, Json, Refuse, ScriptedChain, ScriptedServer, serving
from tests.journal.bodies import ticks
from tests.observe.records import run_started

pytestmark = pytest.mark.slow

PASSWORD_VARIABLE = "KEEPER__SIGNERS__MAIN__PASSWORD"
RIGHT, WRONG = "pa55-right", "pa55-wrong"
SECRETS = (RIGHT, WRONG, "secretkey123")
ANSWERS: dict[str, Json] = {
    "eth_getCode": "0x60",
    "eth_getBalance": "0x0",
    "eth_getTransactionCount": "0x0",
    "eth_maxPriorityFeePerGas": "0x1",
}
"""What a node answers besides what the scripted chain does."""
NOWHERE = "http://127.0.0.1:9"
CONFIG = """\
mode = "live"

[journal]
url = "sqlite://{folder}/journal.db"

[http]
listen = "127.0.0.1:0"

[log]
format = "json"

[chains.local]
chain_id = 31337
http = ["{url}"]
request_timeout_seconds = 2.0

[signers.main]
keystore = "main.json"

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x2f39d218133afab8f2b819b1066c7e434ad94e9e"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"
"""


@dataclass
class Site:
    """Where the keeper is to be started: a good node and good files, until a case spoils one of them."""

    folder: Path
    node: ScriptedServer
    config: str
    password: str | None = RIGHT

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "journal.db"

    def change(self, old: str, new: str) -> None:
        """Change the configuration."""
        assert old in self.config
        self.config = self.config.replace(old, new)

    def answer(self, method: str, answer: Callable[[], Json]) -> None:
        """Let the node answer a method otherwise."""
        good = self.node.fault
        assert good is not None
        self.node.fault = lambda asked, params: answer() if asked == method else good(asked, params)

    def respond(self, text: str, content_type: str = "application/json") -> None:
        """Let the node send this whatever it is asked."""
        self.node.raw = lambda _: web.Response(text=text, content_type=content_type)

    def write_journal(self, chain_id: int = CHAIN_ID) -> None:
        """Leave a journal of some frames."""
        with SqliteJournal(self.journal, [chain_id]) as journal:
            for group in ([(run_started(), 0), *ticks(1)], ticks(2), ticks(2)):
                asyncio.run(journal.wait_durable(journal.append(group, 0)))

    def edit_journal(self, sql: str) -> None:
        """Leave a journal and change it behind its back."""
        self.write_journal()
        connection = apsw.Connection(str(self.journal))
        connection.execute(sql)
        connection.close()

    def remembered(self) -> bytes | None:
        """Return the journal's file, ``None`` when there is none."""
        return self.journal.read_bytes() if self.journal.exists() else None

    def keeper(self) -> KeeperProcess:
        """Return the keeper, not started yet."""
        path = self.folder / "keeper.toml"
        path.write_text(self.config, encoding="utf-8")
        environment = {} if self.password is None else {PASSWORD_VARIABLE: self.password}
        return KeeperProcess(path, "--live", environment=environment)


@dataclass(frozen=True)
class Case:
    """What is spoilt, the exit code, and the line on stderr (a pattern, whole)."""

    name: str
    code: int
    line: str
    spoil: Callable[[Site], object]


def refuse() -> Json:
    """Answer with an error object."""
    raise Refuse(-32000, "no such project")


CASES = [
    Case(
        "unreachable RPC",
        3,
        r"http://127\.0\.0\.1:9: Client\w+: .*; check that the node is up and the URL is right",
        lambda site: site.change(site.node.url, NOWHERE),
    ),
    Case(
        "wrong chain id",
        2,
        r"http://127\.0\.0\.1:\d+: serves chain id 31337, expected 5; correct chain_id or the URL in .*",
        lambda site: site.change("31337", "5"),
    ),
    Case(
        "address without code",
        2,
        r"venues\.aave\.address: 0x2f39\w+ has no code on chain local; check address and chain",
        lambda site: site.answer("eth_getCode", lambda: "0x"),
    ),
    Case(
        "unknown protocol",
        2,
        r'\S+/keeper\.toml: venues\.aave\.protocol = "aave_v9": must be \'aave_v3\'.*; write for example .*',
        lambda site: site.change("aave_v3", "aave_v9"),
    ),
    Case(
        "malformed TOML",
        2,
        r"\S+/keeper\.toml: is not valid TOML: .*line 1.*; see config/keeper\.toml for an example, .*",
        lambda site: site.change('mode = "live"', "mode = live"),
    ),
    Case(
        "unknown key",
        2,
        r'\S+/keeper\.toml: chains\.local\.request_timeout: unknown key; did you mean "request_timeout_seconds"\?',
        lambda site: site.change("request_timeout_seconds", "request_timeout"),
    ),
    Case(
        "missing password",
        2,
        rf"signers\.main\.password: is missing; set {PASSWORD_VARIABLE} or {PASSWORD_VARIABLE}_FILE",
        lambda site: setattr(site, "password", None),
    ),
    Case(
        "wrong password",
        2,
        r"keystore \S+/main\.json: .*password.*; .+",
        lambda site: setattr(site, "password", WRONG),
    ),
    Case(
        "missing keystore",
        2,
        r"keystore \S+/main\.json: .*; .+",
        lambda site: (site.folder / "main.json").unlink(),
    ),
    Case(
        "journal from a newer version",
        4,
        r"journal \S+/journal\.db: has format 2, this version reads 1; upgrade margin-keeper.*",
        lambda site: site.edit_journal("PRAGMA user_version=2"),
    ),
    Case(
        "damaged frame",
        4,
        r"journal \S+/journal\.db: .*sequence 5 is not what was written; .+",
        lambda site: site.edit_journal("UPDATE frames SET payload = zeroblob(9) WHERE first_sequence = 5"),
    ),
    Case(
        "damaged frame in the middle",
        4,
        r"journal \S+/journal\.db: .*sequence 3 is not what was written; .+",
        lambda site: site.edit_journal("UPDATE frames SET payload = zeroblob(9) WHERE first_sequence = 3"),
    ),
    Case(
        "journal of another chain",
        4,
        r"journal \S+/journal\.db: is of chains \(7,\), not \(31337,\); give these chains a journal of their own",
        lambda site: site.write_journal(7),
    ),
    Case(
        "RPC answers HTML",
        3,
        r"http://127\.0\.0\.1:\d+: an HTML page, not JSON-RPC; check that the URL is a JSON-RPC endpoint",
        lambda site: site.respond("<html>secretkey123</html>", "text/html"),
    ),
    Case(
        "RPC answers truncated JSON",
        3,
        r"http://127\.0\.0\.1:\d+: not JSON-RPC: .*; check that the URL is a JSON-RPC endpoint",
        lambda site: site.respond('{"jsonrpc": "2.0", "id": 1, "res'),
    ),
    Case(
        "RPC answers an error object",
        3,
        r"eth_chainId at http://127\.0\.0\.1:\d+: error -32000: no such project; check .+",
        lambda site: site.answer("eth_chainId", refuse),
    ),
]


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site at which everything is right."""
    import_keystore(tmp_path / "main.json", "11" * 32, RIGHT, work_factor=2**4)
    async with serving(ScriptedChain()) as node:
        node.fault = lambda method, _: ANSWERS.get(method, PASS)
        yield Site(tmp_path, node, CONFIG.format(folder=tmp_path, url=node.url))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_bad_start_is_one_line(site: Site, case: Case) -> None:
    """A start that cannot be is one line and an exit code, shows no secret, and leaves what was journalled alone."""
    await asyncio.to_thread(case.spoil, site)
    before = site.remembered()
    async with started(site.keeper()) as keeper:
        code = await keeper.exit_code()

    assert keeper.errors == [line for line in keeper.errors if re.fullmatch(f"keeper: {case.line}", line)]
    assert (len(keeper.errors), code) == (1, case.code)
    assert [secret for secret in SECRETS if secret in keeper.output] == []
    assert site.remembered() == before


async def test_two_keepers_on_one_journal(site: Site) -> None:
    """The second keeper on a journal is refused, with the first one's pid; the first goes on unharmed."""
    async with started(site.keeper()) as first:
        await first.until_status(lambda status: status["chains"] and status["chains"][0]["watermark"])
        second_site = site.folder / "second"
        second_site.mkdir()
        (second_site / "main.json").write_bytes((site.folder / "main.json").read_bytes())
        (second_site / "main.json").chmod(0o600)
        (second_site / "keeper.toml").write_text(site.config, encoding="utf-8")
        rival = KeeperProcess(second_site / "keeper.toml", "--live", environment={PASSWORD_VARIABLE: RIGHT})
        async with started(rival) as second:
            refused = await second.exit_code()
        sequence = (await first.status())["journal"]["last_sequence"]
        await first.until_status(lambda status: status["journal"]["durable_sequence"] > sequence)
        left = await first.leave()

    (line,) = second.errors
    assert (refused, left, first.errors) == (2, 0, [])
    assert re.fullmatch(r"keeper: journal \S+: another keeper \(pid \d+\) is writing it; stop that one first, .+", line)
    assert any(isinstance(record.body, ClockTicked) for record in read_journal(site.journal))
    assert replayed(site.journal).divergence is None
