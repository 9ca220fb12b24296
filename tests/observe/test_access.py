"""Who may ask for what, and who may set the kill switch."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, count, repeat
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from keeper.observe.access import COOKIE, SESSION_SECONDS, Guard, is_of_this_host
from keeper.observe.events import Feed
from keeper.observe.failures import ADDRESSES_MAX, FAILURES_MAX, WINDOW_SECONDS, Failures
from keeper.observe.http import web_app
from keeper.observe.metrics import Metrics
from keeper.observe.page import SECTIONS, Pages
from keeper.observe.status import Status
from tests.observe.pictures import WELL, changed, with_venue

TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OURS = {"Sec-Fetch-Site": "same-origin"}
Client = TestClient[aiohttp.web.Request, aiohttp.web.Application]


@asynccontextmanager
async def asking(guard: Guard, switch: Path | None = None) -> AsyncIterator[Client]:
    """Serve a keeper that sees its kill switch at once."""

    def status() -> Status:
        return changed(kill_switch_armed=switch is not None and switch.exists())

    app = web_app(Metrics(CollectorRegistry()), status, guard, switch)
    jar = aiohttp.CookieJar(unsafe=True)
    async with TestClient(TestServer(app), cookie_jar=jar) as client:
        yield client


async def code(client: Client, path: str, **headers: str) -> int:
    """Return the answer's status, redirects not followed."""
    async with client.get(path, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def posted(client: Client, path: str, data: dict[str, str], headers: dict[str, str]) -> int:
    """Post a form and return the answer's status, redirects not followed."""
    async with client.post(path, data=data, headers=headers, allow_redirects=False) as answer:
        return answer.status


@pytest.mark.parametrize("path", ["/", "/events", "/metrics", "/status"])
async def test_beyond_loopback_a_token_is_needed(path: str) -> None:
    """Where others can reach it, what the keeper knows is for whoever has the token."""
    async with asking(Guard(TOKEN, loopback=False)) as client:
        assert await code(client, path) == 401
        assert await code(client, path, Authorization="Bearer wrong") == 401
        assert await code(client, path, Authorization="Bearer \udcff") == 401
        assert await code(client, path, Authorization=TOKEN) == 401
        assert await code(client, path, Cookie=f"{COOKIE}=99999999999.{'0' * 64}") == 401
        assert await code(client, path, **BEARER) == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/page.css", "/static/page.js"])
async def test_probes_and_the_sign_in_need_no_token(path: str) -> None:
    """A probe of a service manager has no token, and the sign-in is where it is given."""
    async with asking(Guard(TOKEN, loopback=False)) as client:
        assert await code(client, path) == 200


async def test_a_browser_is_sent_to_sign_in() -> None:
    """Who opens the page without a session is asked for the token."""
    async with asking(Guard(TOKEN, loopback=False)) as client:
        assert await code(client, "/", Accept="text/html") == 303


async def test_without_a_token_nobody_is_let_in_beyond_loopback() -> None:
    """A guard without a token refuses everybody: no empty token is one."""
    async with asking(Guard(None, loopback=False)) as client:
        assert await code(client, "/status", Authorization="Bearer ") == 401
        assert await code(client, "/status", Cookie=f"{COOKIE}=") == 401


async def test_a_session_lasts_its_time() -> None:
    """The token gives a cookie that no script sees and no other site sends; it ends, and with the sign-out."""
    now = [1_000_000.0]
    async with asking(Guard(TOKEN, loopback=False, unix_seconds=lambda: now[0])) as client:
        async with client.post("/login", data={"token": TOKEN}, headers=OURS, allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert (answer.status, "HttpOnly" in cookie, "SameSite=Strict" in cookie) == (303, True, True)
        assert TOKEN not in cookie
        assert await code(client, "/") == 200
        now[0] += SESSION_SECONDS
        assert await code(client, "/") == 401
        now[0] -= SESSION_SECONDS
        assert await posted(client, "/logout", {}, OURS) == 303
        assert await code(client, "/") == 401


async def test_a_session_is_of_one_process() -> None:
    """What one process sealed, or somebody put off, is nothing to another."""
    session = Guard(TOKEN).session()
    async with asking(Guard(TOKEN, loopback=False)) as client:
        assert await code(client, "/", Cookie=f"{COOKIE}={session}") == 401
    guard = Guard(TOKEN, loopback=False)
    end, _, seal = guard.session().partition(".")
    async with asking(guard) as client:
        assert await code(client, "/", Cookie=f"{COOKIE}={end}.{seal}") == 200
        assert await code(client, "/", Cookie=f"{COOKIE}={int(end) + 1}.{seal}") == 401


@pytest.mark.parametrize(
    ("data", "headers", "expected"),
    [
        ({"token": "wrong"}, OURS, 401),
        ({}, OURS, 401),
        ({"token": TOKEN}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"token": TOKEN}, {"Origin": "http://elsewhere.example"}, 403),
        ({"token": TOKEN}, {}, 403),
        ({"token": "x" * 5000}, OURS, 413),
    ],
)
async def test_a_sign_in_that_is_none(data: dict[str, str], headers: dict[str, str], expected: int) -> None:
    """A wrong token, another site's form and an endless one give no session."""
    async with asking(Guard(TOKEN, loopback=False)) as client:
        assert await posted(client, "/login", data, headers) == expected
        assert await code(client, "/") == 401


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:9464", True),
        ("localhost:1", True),
        ("[::1]:9464", True),
        ("localhost", True),
        ("evil.example:9464", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1:9464", False),
        ("localhost@evil.example", False),
        ("[", False),
        ("", False),
    ],
)
async def test_another_name_is_not_answered_on_loopback(host: str, *, ours: bool) -> None:
    """A site whose name was made to point to this host reads nothing."""
    assert is_of_this_host(host) is ours
    async with asking(Guard()) as client:
        assert await code(client, "/status", Host=host or "x") == (200 if ours else 421)


async def test_the_switch_is_set_with_the_token(tmp_path: Path) -> None:
    """With the token the file is made and removed; doing it twice is no error."""
    switch = tmp_path / "STOP"
    async with asking(Guard(TOKEN), switch) as client:
        for action, armed in (("arm", True), ("arm", True), ("clear", False), ("clear", False)):
            assert await posted(client, "/kill-switch", {"action": action}, BEARER) == 204
            assert switch.exists() is armed
        assert await posted(client, "/kill-switch", {"action": "toggle"}, BEARER) == 400
        assert await code(client, "/kill-switch", **BEARER) == 405


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_a_session_writes_from_our_page_alone(tmp_path: Path, headers: dict[str, str], expected: int) -> None:
    """A form on another site's page sets nothing, signed in or not."""
    switch = tmp_path / "STOP"
    async with asking(Guard(TOKEN), switch) as client:
        assert await posted(client, "/kill-switch", {"action": "arm"}, headers) == 401
        assert await posted(client, "/login", {"token": TOKEN}, OURS) == 303
        assert await posted(client, "/kill-switch", {"action": "arm"}, headers) == expected
    assert switch.exists() is (expected == 303)


async def test_our_own_origin_is_enough(tmp_path: Path) -> None:
    """A browser that tells the origin alone is believed when it is this server's."""
    async with asking(Guard(TOKEN), tmp_path / "STOP") as client:
        origin = {"Origin": str(client.make_url("/")).rstrip("/")}
        assert await posted(client, "/login", {"token": TOKEN}, origin) == 303
        assert await posted(client, "/kill-switch", {"action": "arm"}, origin) == 303


@pytest.mark.parametrize(("token", "has_file"), [(None, True), (TOKEN, False)])
async def test_no_switch_is_offered_without_token_and_file(
    tmp_path: Path, token: str | None, *, has_file: bool
) -> None:
    """Where there is no token, even this host cannot set it over HTTP; the page says why."""
    async with asking(Guard(token), tmp_path / "STOP" if has_file else None) as client:
        assert await posted(client, "/kill-switch", {"action": "arm"}, BEARER) == 404
        async with client.get("/", headers=BEARER) as answer:
            page = await answer.text()
    assert 'action="/kill-switch"' not in page
    assert "Not offered here" in page


async def test_the_switch_is_offered_to_who_signed_in(tmp_path: Path) -> None:
    """The page on this host is read without a token, and has the switch for who has it."""
    async with asking(Guard(TOKEN), tmp_path / "STOP") as client:
        for headers, offered in (({}, False), (BEARER, True)):
            async with client.get("/", headers=headers) as answer:
                assert ('action="/kill-switch"' in await answer.text()) is offered


async def test_a_switch_that_cannot_be_set_says_why(tmp_path: Path) -> None:
    """When the file cannot be made, nobody is told that it was."""
    async with (
        asking(Guard(TOKEN), tmp_path / "gone" / "STOP") as client,
        client.post("/kill-switch", data={"action": "arm"}, headers=BEARER) as answer,
    ):
        assert answer.status == 500
        assert "cannot be armed (No such file or directory)" in await answer.text()


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("by_form", [True, False])
async def test_wrong_tokens_are_counted(tmp_path: Path, *, loopback: bool, by_form: bool) -> None:
    """After too many wrong tokens in a minute none is compared, not even the right one, until the minute is over."""
    now = [0.0]
    switch = tmp_path / "STOP"
    async with asking(Guard(TOKEN, loopback=loopback, monotonic=lambda: now[0]), switch) as client:
        for _ in range(FAILURES_MAX):
            if by_form:
                assert await posted(client, "/login", {"token": "wrong"}, OURS) == 401
            else:
                wrong = {"Authorization": "Bearer wrong"}
                assert await posted(client, "/kill-switch", {"action": "arm"}, wrong) == 401
        now[0] += WINDOW_SECONDS - 1
        assert await posted(client, "/login", {"token": TOKEN}, OURS) == 429
        async with client.post("/kill-switch", data={"action": "arm"}, headers=BEARER) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert await code(client, "/healthz", **BEARER) == 200
        assert not switch.exists()
        now[0] += 1
        assert await posted(client, "/kill-switch", {"action": "arm"}, BEARER) == 204


def test_addresses_are_counted_apart_and_not_for_ever() -> None:
    """One address's failures are not another's, and only so many addresses are remembered."""
    failures = Failures(lambda: 0.0)
    for _ in range(FAILURES_MAX):
        failures.note("a")
    assert (failures.wait_seconds("a"), failures.wait_seconds("b")) == (WINDOW_SECONDS, 0)
    for number in range(ADDRESSES_MAX):
        failures.note(str(number))

    assert (len(failures), failures.wait_seconds("a")) == (ADDRESSES_MAX, 0)


@asynccontextmanager
async def reading(feed: Feed, ended: list[bool]) -> AsyncIterator[Client]:
    """Serve a feed alone; ``ended`` grows when a reader is gone."""

    async def events(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        try:
            return await feed.stream(request, None)
        finally:
            ended.append(True)

    app = aiohttp.web.Application()
    app.router.add_get("/events", events, allow_head=False)
    app.on_shutdown.append(feed.close)
    async with TestClient(TestServer(app), read_bufsize=2**15) as client:
        yield client


async def test_events_say_what_moved() -> None:
    """The first event has every section, the next only what changed."""
    states = chain([WELL], repeat(with_venue(paused=True, reverts=5)))
    feed = Feed(Pages(), lambda: next(states), tick_seconds=0.01)
    async with reading(feed, []) as client, client.get("/events") as answer:
        events = [json.loads((await answer.content.readuntil(b"\n\n")).removeprefix(b"data: ")) for _ in range(3)]

    assert answer.content_type == "text/event-stream"
    assert set(events[0]) == set(SECTIONS)
    assert set(events[1]) == {"venues"}
    assert "paused" in events[1]["venues"]
    assert events[2] == {}


async def test_readers_are_counted() -> None:
    """More readers than there may be are told to come back; one that leaves makes room."""
    ended: list[bool] = []
    feed = Feed(Pages(), lambda: WELL, readers_max=1, tick_seconds=0.01)
    async with reading(feed, ended) as client:
        async with client.get("/events") as first:
            await first.content.readany()
            async with client.get("/events") as second:
                assert (second.status, second.headers["Retry-After"]) == (503, "10")
        while len(ended) < 2:
            assert await code(client, "/nothing-here") == 404
        async with client.get("/events") as third:
            assert third.status == 200


async def test_a_reader_that_does_not_read_is_dropped() -> None:
    """Who takes no event within the time is let go, and others are answered meanwhile."""
    number, ended = count(), list[bool]()

    def moving() -> Status:
        return changed(code_version="1", spend_hour_base=str(next(number) * 10**12))

    feed = Feed(Pages(), moving, write_seconds_max=0.05, tick_seconds=0.0001)
    async with reading(feed, ended) as client, client.get("/events") as answer:
        while not ended:
            assert await code(client, "/nothing-here") == 404
        assert feed.readers == 0
        with pytest.raises(aiohttp.ClientError):
            await answer.read()  # it was cut off, not finished
