"""A full run of the real daemon leaves no secret anywhere: not in logs, pages, journal, error lines or core files.

The provider is one of those that put credentials everywhere (user part, path, query) and that repeat them in every
error. The search is for the key, the password and each credential in every spelling; a control plants them first.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from keeper.core.facts import AttemptPrepared, RunStarted
from keeper.core.ids import content_id
from keeper.execution.keys import unlock_keystore
from keeper.journal.sqlite import SqliteJournal
from tests.app.keeper_process import KeeperProcess, started
from tests.app.market import PASSWORD, PASSWORD_VARIABLE, Market
from tests.chain.journals import read_journal
from tests.observe.records import run_started

pytestmark = [pytest.mark.chain, pytest.mark.slow]
Json = Any

USER, PASS, PATH_KEY, QUERY_KEY, WS_KEY = (
    "prov-user-7f",
    "prov pass/8e",
    "path-key-91d2c3",
    "query-key-a4b5",
    "ws-key-c6d7e8",
)
WRONG = "not the horse"
PAGES = ("/", "/metrics", "/healthz", "/readyz", "/status")
ECHO = f"no access for {USER}:{PASS} with {PATH_KEY} and {QUERY_KEY} ({quote(PASS, safe='')})"
BUG = """
import sys
from keeper.chain.rpc import Provider
from keeper.cli.main import main

async def broken(self, *arguments):
    raise ValueError(f"a bug at {self._url} of {self}")

Provider.call = broken
main()
"""


@dataclass
class GreedyProvider:
    """Forwards to a node under any path; in trouble it answers with what it was given as credentials."""

    market: Market
    session: aiohttp.ClientSession
    port: int = 0
    trouble: str | None = None
    told: int = 0
    seen: set[str] = field(default_factory=set)

    @property
    def http_url(self) -> str:
        """Where it is, with every credential it wants."""
        return f"http://{USER}:{quote(PASS, safe='')}@127.0.0.1:{self.port}/v3/{PATH_KEY}?apikey={QUERY_KEY}"

    @property
    def ws_url(self) -> str:
        """Where heads are announced."""
        return f"ws://{USER}:{quote(PASS, safe='')}@127.0.0.1:{self.port}/ws/{WS_KEY}"

    def has_told(self, count: int, _: Json) -> bool:
        """Tell whether so many requests met trouble."""
        return self.told >= count

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Forward, or echo the credentials in an error."""
        self.seen.add(str(request.rel_url))
        if self.trouble is not None:
            self.told += 1
            return await self._echo(request)
        if "Upgrade" in request.headers:
            return await self._socket(request)
        headers = {"Content-Type": "application/json"}
        async with self.session.post(self.market.node.http_url, data=await request.read(), headers=headers) as response:
            return web.Response(body=await response.read(), content_type="application/json")

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        text = f"{ECHO} at {self.http_url}"
        match self.trouble:
            case "html":
                return web.Response(text=f"<html>{text}</html>", content_type="text/html")
            case "denied":
                return web.Response(text=text, status=HTTPStatus.UNAUTHORIZED, reason=ECHO)
            case "moved":
                return web.Response(status=HTTPStatus.FOUND, headers={"Location": self.http_url})
            case "cut" if request.transport is not None:
                request.transport.abort()
            case _:
                asked = await request.json() if request.can_read_body else {"id": 1}
                error = {"code": -32000, "message": text, "data": text}
                answers = [{"id": one["id"], "error": error} for one in (asked if isinstance(asked, list) else [asked])]
                return web.json_response(answers if isinstance(asked, list) else answers[0])
        return web.Response(status=HTTPStatus.BAD_GATEWAY, text=text)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        near = web.WebSocketResponse()
        await near.prepare(request)
        async with self.session.ws_connect(self.market.node.ws_url) as far:
            back = asyncio.create_task(_pump(far, near))
            await _pump(near, far)
            back.cancel()
        return near


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        await sink.send_str(message.data if isinstance(message.data, str) else message.data.decode())


@asynccontextmanager
async def provider_of(market: Market) -> AsyncIterator[GreedyProvider]:
    """Serve a provider of a market's node, and let the market's configuration name it."""
    async with aiohttp.ClientSession() as session:
        provider = GreedyProvider(market, session)
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{anything:.*}", provider.answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.port = runner.addresses[0][1]
        market.http_url = provider.http_url
        market.changes.append(("ws = []", f'ws = ["{provider.ws_url}"]'))
        try:
            yield provider
        finally:
            await runner.cleanup()


def spellings(secret: bytes) -> Iterator[bytes]:
    """Yield the ways in which bytes could be written down."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield str(int.from_bytes(secret, "big")).encode()
    yield repr(secret)[2:-1].encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret).rstrip(b"=")
    if secret.isascii():
        yield quote(secret.decode(), safe="").encode()
        yield quote(secret.decode()).encode()


def forbidden(key: bytes) -> dict[str, set[bytes]]:
    """Return the name of each secret and its spellings."""
    secrets = {"key": key, "password": PASSWORD.encode(), "wrong password": WRONG.encode()}
    secrets |= {name: name.encode() for name in (USER, PASS, PATH_KEY, QUERY_KEY, WS_KEY)}
    secrets["login"] = f"{USER}:{PASS}".encode()
    return {name: set(spellings(secret)) for name, secret in secrets.items()}


def found(places: Mapping[str, bytes], wanted: Mapping[str, set[bytes]]) -> list[tuple[str, str]]:
    """Return (place, secret) for every secret that is somewhere."""
    return [
        (place, name)
        for place, content in places.items()
        for name, texts in wanted.items()
        if any(text in content for text in texts)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file that the keeper wrote or made, the journal's records decoded too."""
    places = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".toml"
    }
    for path in folder.glob("*.db"):
        records = read_journal(path)
        places[f"{path.name}, decoded"] = repr(records).encode()
        for number, record in enumerate(records):
            if isinstance(record.body, RunStarted):
                places[f"{path.name}, settings {number}"] = record.body.settings_redacted_json.encode()
    places |= {str(path): path.read_bytes() for path in Path.cwd().glob("core*") if path.is_file()}
    return places


async def pages_of(keeper: KeeperProcess) -> dict[str, bytes]:
    """Return what it says over HTTP."""
    return {page: (await keeper.get(page))[1].encode() for page in PAGES}


async def printed_by(*command: str, **environment: str) -> bytes:
    """Return all that a command prints; how it ends is another test's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, PASSWORD_VARIABLE: PASSWORD, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return (await process.communicate())[0]


def commands_of(market: Market) -> dict[str, tuple[str, ...]]:
    """Return every command that reads the configuration, the journal or the keystore."""
    config, journal = ("-c", str(market.folder / "keeper.toml")), ("--journal", f"sqlite://{market.journal}")
    commands = {
        "doctor": ("doctor", *config),
        "doctor json": ("doctor", *config, "--json"),
        "accounts": ("accounts", *config),
        "replay": ("replay", *journal),
        "verify": ("verify", *journal),
        "stat": ("journal", "stat", *journal),
        "tail": ("journal", "tail", *journal, "--json"),
        "show": ("keys", "show", str(market.folder / "main.json")),
        "second run": ("run", *config, "--live"),
    }
    return {name: ("-m", "keeper.cli", *command) for name, command in commands.items()}


async def crashed_and_saved(market: Market, provider: GreedyProvider) -> dict[str, bytes]:
    """Run the keeper through a crash and every trouble of its provider; return what could be seen meanwhile."""
    places: dict[str, bytes] = {}
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.crash()
        await keeper.until_status(
            lambda status: any(one["kind"] == "LiquidationObserved" for one in status["last_decisions"])
        )
        for trouble in ("json", "html", "denied", "moved", "cut"):
            told, provider.trouble = provider.told, trouble
            await market.mine()
            await keeper.until_status(partial(provider.has_told, told + 2))
            places |= {f"{page} while {trouble}": body for page, body in (await pages_of(keeper)).items()}
            provider.trouble = None
        places["running " + "files"] = b"".join(files_of(market.folder).values())
        places |= await pages_of(keeper)
        keeper.signal(signal.SIGQUIT)
        await keeper.exit_code()
        places["log"] = keeper.output.encode()
        survived = [event for event in keeper.events if event["event"] == "survived"]
        assert len(survived) > 0
    return places


async def failed_starts(market: Market, provider: GreedyProvider) -> dict[str, bytes]:
    """Return what starts print that a wrong password, a provider in trouble or a bug ends."""
    run = ("run", "-c", str(market.folder / "keeper.toml"), "--live")
    places = {
        f"wrong password {shown}": await printed_by(
            "-m", "keeper.cli", *run, **{PASSWORD_VARIABLE: WRONG, "KEEPER_TRACEBACK": shown}
        )
        for shown in ("0", "1")
    }
    places["bug"] = await printed_by("-c", BUG, *run, KEEPER_TRACEBACK="1")
    places["bug, one line"] = await printed_by("-c", BUG, *run)
    for trouble in ("json", "denied", "moved"):
        provider.trouble = trouble
        commands = {name: commands_of(market)[name] for name in ("doctor", "accounts", "second run")}
        printed = await asyncio.gather(*(printed_by(*each, KEEPER_TRACEBACK="1") for each in commands.values()))
        places |= {f"{name} while {trouble}": text for name, text in zip(commands, printed, strict=True)}
    provider.trouble = None
    assert b"the password is wrong" in places["wrong password 0"]
    assert b"Traceback" in places["wrong password 1"]
    assert b"a bug at http://127.0.0.1:" in places["bug"]
    return places


async def test_a_full_run_leaves_no_secret(market: Market) -> None:
    """Logs, metrics, pages, journal, tracebacks and error lines of a whole run hold no key, password or credential."""
    key = unlock_keystore(market.folder / "main.json", PASSWORD)._key.secret
    wanted = forbidden(key)
    async with provider_of(market) as provider:
        places = await crashed_and_saved(market, provider)
        places |= {
            name: await printed_by(*command) for name, command in commands_of(market).items() if name != "second run"
        }
        places |= await failed_starts(market, provider)
    places |= files_of(market.folder)
    raw = [record.body.raw for record in read_journal(market.journal) if isinstance(record.body, AttemptPrepared)]

    assert {f"/v3/{PATH_KEY}?apikey={QUERY_KEY}", f"/ws/{WS_KEY}"} <= provider.seen
    assert found(places, wanted) == []
    assert len(raw) > 0
    assert found({"log": places["keeper.log"]}, {"a signed transaction": {each.hex().encode() for each in raw}}) == []
    assert [name for name, content in places.items() if not content and "-" not in name and "lock" not in name] == []


async def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    """Every spelling of every secret is found in a log, and in a journal whose frames are compressed."""
    key = bytes(range(0x61, 0x81))
    wanted = forbidden(key)
    for name, texts in wanted.items():
        for text in texts:
            assert (("log", name)) in found({"log": b"some " + text + b" line"}, wanted)
    with SqliteJournal(tmp_path / "journal.db", [31337]) as journal:
        body = run_started()
        leaky = RunStarted(content_id("x"), body.code_version, body.config, f'{{"note": "{PATH_KEY}"}}', 1)
        await journal.wait_durable(journal.append([(leaky, 0)], 0))

    assert {place for place, name in found(files_of(tmp_path), wanted) if name == PATH_KEY} >= {
        "journal.db, decoded",
        "journal.db, settings 0",
    }
