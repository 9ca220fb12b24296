"""Webhooks over a real connection: what arrives, what is tried again, and what a bad receiver cannot do."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from keeper.app.telling import Telling
from keeper.app.watchdog import Watchdog, cancelled
from keeper.core.codec import AnyBody
from keeper.core.decisions import AuditFailed, HealthChanged, ProposalRefused, ProtectionRefused, SignerHalted
from keeper.core.facts import ClockTicked, KillSwitchChanged, LogsRepaired
from keeper.core.units import BaseAmount, Wad
from keeper.core.venue import AccountMargin, Epoch, Health, Status
from keeper.engine.policy import RULES
from keeper.journal.recorder import Settled
from keeper.observe.http import serving
from keeper.observe.log import configure_logging
from keeper.observe.metrics import Metrics
from keeper.observe.notify import (
    ATTEMPTS_MAX,
    REPEAT_SECONDS,
    SPENT,
    Format,
    Notice,
    Notifier,
    Severity,
    Webhook,
    generic_body,
    notice,
    pagerduty_body,
    slack_body,
)
from keeper.settings import NotifySettings
from tests.chain_ingestion.fakes import HandClock, JumpClock
from tests.observe.records import ACCOUNT, USD, admitted, proposal, protection, receipt

SECRET = "T0SECRET-hunter2"
HALTED = SignerHalted("main", "nonce 7 <spent> by another & unknown")
LOW = Wad(10**17)
MS = 1_700_000_000_123
Answer = Callable[[web.Request], Coroutine[Any, Any, web.Response]]


class Receiver:
    """A webhook that answers by a list of statuses, then with 202; a status of 0 hangs until the test ends."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        """Keep what was posted and answer."""
        self.bodies.append(await request.json())
        self.paths.append(request.path)
        self.asked.set()
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 0:
            await self.ended.wait()
        return web.Response(status=status or 202, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    """Serve a receiver; give its URL, with a secret in it."""
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    async with serving(app, "127.0.0.1", 0) as url:
        try:
            yield f"{url}/services/{SECRET}"
        finally:
            receiver.ended.set()


@asynccontextmanager
async def notifying(
    url: str, counts: Counter[str], clock: JumpClock, *, queue_max: int = 64, attempt_seconds_max: float = 10.0
) -> AsyncIterator[Notifier]:
    """Run the notifier of one webhook."""
    hook = Webhook("ops", SecretStr(url), "generic", "warning")
    async with aiohttp.ClientSession() as session:
        notifier = Notifier(
            hook,
            session,
            clock,
            lambda outcome: counts.update([outcome]),
            source="host",
            queue_max=queue_max,
            attempt_seconds_max=attempt_seconds_max,
        )
        task = asyncio.create_task(notifier.run())
        try:
            yield notifier
        finally:
            task.cancel()
            await asyncio.wait([task])


def told(sequence: int, severity: Severity = "critical", key: str = "SignerHalted:main") -> Notice:
    """Return a notice."""
    return Notice(severity, "SignerHalted", key, "main: stuck", sequence, MS)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Give everything that is logged, at every level, and leave the process's logging as it was."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging(stream, "json", "debug")
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_what_fails_is_tried_again() -> None:
    """After two 500s and a 429 the same notice is accepted, each pause longer than the one before."""
    receiver, counts, clock = Receiver(500, 503, 429), Counter[str](), JumpClock()
    async with receiving(receiver) as url, notifying(url, counts, clock) as notifier:
        notifier.offer(told(7))
        await notifier.drain(20)

    assert [body["sequence"] for body in receiver.bodies] == [7, 7, 7, 7]
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[0] >= 1
    assert counts == {"delivered": 1}


async def test_what_always_fails_is_given_up() -> None:
    """A receiver that never accepts gets a bounded number of attempts, and the next notice its turn."""
    receiver, counts = Receiver(*[500] * ATTEMPTS_MAX), Counter[str]()
    async with receiving(receiver) as url, notifying(url, counts, JumpClock()) as notifier:
        notifier.offer(told(7))
        notifier.offer(told(8))
        await notifier.drain(20)

    assert [body["sequence"] for body in receiver.bodies] == [7] * ATTEMPTS_MAX + [8]
    assert counts == {"failed": 1, "delivered": 1}


@pytest.mark.parametrize("status", [400, 404, 302, 307])
async def test_what_is_refused_is_not_tried_again(status: int) -> None:
    """A refusal is final, and nobody is followed elsewhere with the body."""
    receiver, counts = Receiver(status), Counter[str]()
    async with receiving(receiver) as url, notifying(url, counts, JumpClock()) as notifier:
        notifier.offer(told(7))
        await notifier.drain(20)

    assert len(receiver.paths) == 1
    assert counts == {"refused": 1}


async def test_a_receiver_that_hangs_holds_nobody_up() -> None:
    """Offering returns at once, no more than the bound waits, the oldest are dropped and counted."""
    receiver, counts = Receiver(0), Counter[str]()
    async with receiving(receiver) as url, notifying(url, counts, JumpClock(), queue_max=3) as notifier:
        notifier.offer(told(1))
        await receiver.asked.wait()
        for sequence in range(2, 12):
            notifier.offer(told(sequence))
        depth = notifier.depth
        receiver.ended.set()
        await notifier.drain(20)

    assert depth == 3
    assert [body["sequence"] for body in receiver.bodies] == [1, 9, 10, 11]
    assert counts == {"dropped": 7, "delivered": 4}


async def test_an_answer_has_a_time_limit() -> None:
    """A receiver that never answers is one that fails: the attempt ends, and another is made."""
    receiver, counts = Receiver(0), Counter[str]()
    async with (
        receiving(receiver) as url,
        notifying(url, counts, JumpClock(), attempt_seconds_max=0.05) as notifier,
    ):
        notifier.offer(told(7))
        await notifier.drain(20)

    assert len(receiver.bodies) >= 2
    assert counts == {"delivered": 1}


async def test_leaving_waits_only_briefly(log: io.StringIO) -> None:
    """What a hanging receiver has not taken when the keeper leaves is lost, counted, and said to be."""
    receiver, counts = Receiver(0), Counter[str]()
    async with receiving(receiver) as url, notifying(url, counts, JumpClock()) as notifier:
        notifier.offer(told(1))
        await receiver.asked.wait()
        notifier.offer(told(2))
        await notifier.drain(0)

    assert counts == {"dropped": 2}
    assert '"notifications lost"' in log.getvalue()


@pytest.mark.parametrize("statuses", [(500,) * ATTEMPTS_MAX, (400,), (302,), ()])
async def test_no_line_shows_the_url(log: io.StringIO, statuses: tuple[int, ...]) -> None:
    """Whatever becomes of a notice, the log at its lowest level has the host and nothing else of the URL."""
    receiver, counts = Receiver(*statuses), Counter[str]()
    async with receiving(receiver) as url, notifying(url, counts, JumpClock()) as notifier:
        notifier.offer(told(7))
        await notifier.drain(20)
    async with notifying(f"http://127.0.0.1:1/{SECRET}", counts, JumpClock()) as notifier:
        notifier.offer(told(8))
        await notifier.drain(20)

    text = log.getvalue()
    assert counts["failed"] >= 1
    assert '"host":"127.0.0.1"' in text
    assert SECRET not in text


async def test_warnings_repeat_rarely_and_only_where_wanted() -> None:
    """A warning about the same thing waits out a minute, what is critical never does, and a webhook may leave both."""
    receiver, counts, clock = Receiver(), Counter[str](), HandClock()
    warning, critical = told(1, "warning"), told(2)
    async with receiving(receiver) as url, notifying(url, counts, clock) as notifier:
        for each in (warning, warning, critical, critical):
            notifier.offer(each)
        clock.advance(REPEAT_SECONDS)
        notifier.offer(replace(warning, sequence=3))
        await notifier.drain(20)
        notifier.severity_min = "critical"
        notifier.offer(told(4, "warning", "another"))
        await notifier.drain(20)

    assert [body["sequence"] for body in receiver.bodies] == [1, 2, 2, 3]
    assert counts == {"delivered": 4, "repeated": 1}


def margin(collateral_usd: int, debt_usd: int, health: Wad | None = LOW) -> HealthChanged:
    """Return an account that has become unsafe."""
    account = AccountMargin(
        "aave",
        ACCOUNT,
        Epoch(5, 0),
        Health(Status.LIQUIDATABLE),
        health,
        BaseAmount(collateral_usd * USD),
        BaseAmount(debt_usd * USD),
    )
    return HealthChanged(account, "healthy", 11)


OWED = f"aave:0x{ACCOUNT.hex()}"
REVERTED = replace(receipt(), succeeded=False)
CARE = replace(admitted(), intent=replace(admitted().intent, kind="protection"), protection=protection())


@pytest.mark.parametrize(
    ("body", "severity", "key"),
    [
        (HALTED, "critical", "SignerHalted:main"),
        (AuditFailed("aave", ACCOUNT, 11, "1", "2"), "critical", f"AuditFailed:{OWED}"),
        (margin(1_000, 2_000), "critical", f"HealthChanged:{OWED}"),
        (ProtectionRefused(protection(), "gas_price", ""), "critical", None),
        (CARE, "warning", f"IntentAdmitted:{OWED}"),
        (KillSwitchChanged(armed=True, reason="file"), "warning", "KillSwitchChanged:file"),
        (LogsRepaired(1, 5, (), "http://a", "http://b"), "warning", "LogsRepaired:1:http://b"),
        (REVERTED, "warning", None),
        (ProposalRefused(proposal(), "spend_per_hour", ""), "warning", "ProposalRefused:spend_per_hour"),
    ],
)
def test_what_is_told(body: AnyBody, severity: str, key: str | None) -> None:
    """What an operator must know at once is told, with its weight and what it is about."""
    found = notice(body, 7, MS)

    assert found is not None
    assert (found.severity, found.sequence, found.unix_ms) == (severity, 7, MS)
    assert key in (None, found.key)


@pytest.mark.parametrize(
    "body",
    [
        ClockTicked(1),
        KillSwitchChanged(armed=False, reason="file"),
        KillSwitchChanged(armed=True, reason="draining"),
        receipt(),
        admitted(),
        ProposalRefused(proposal(), "profit", ""),
        margin(2_000, 1_000),
        margin(1_001, 2_000),
        margin(0, 2_000, None),
    ],
)
def test_what_is_not_told(body: AnyBody) -> None:
    """What is usual, over, dust, or not known to be bad wakes nobody."""
    assert notice(body, 7, MS) is None


def test_the_rules_that_bound_spending_exist() -> None:
    """Every rule whose refusals are told is one of the gate's."""
    assert {rule.__name__ for rule in RULES} >= SPENT


def halted() -> Notice:
    """Return the notice of a halt whose reason has Slack's control characters."""
    found = notice(HALTED, 7, MS)
    assert found is not None
    return found


def test_generic_body() -> None:
    """The keeper's own body is flat, and says its version."""
    body = generic_body(halted(), "host", "")

    assert body.pop("keeper")
    assert body == {
        "version": 1,
        "source": "host",
        "severity": "critical",
        "kind": "SignerHalted",
        "key": "SignerHalted:main",
        "what": "main: nonce 7 <spent> by another & unknown",
        "sequence": 7,
        "unix_ms": MS,
    }


def test_slack_body() -> None:
    """Slack gets a text, in which what a contract or a node has written can be no mention and no link."""
    assert slack_body(halted(), "host", "") == {
        "text": "CRITICAL SignerHalted at host: main: nonce 7 &lt;spent&gt; by another &amp; unknown (record 7)",
        "mrkdwn": False,
    }


def test_pagerduty_body() -> None:
    """PagerDuty gets a trigger of its Events API v2, within its lengths, that joins the incident of the same thing."""
    body = pagerduty_body(replace(halted(), what="x" * 5000, key="k" * 5000), "host", "R" * 32)

    assert body == {
        "routing_key": "R" * 32,
        "event_action": "trigger",
        "dedup_key": ("host/" + "k" * 5000)[:255],
        "client": "margin-keeper",
        "payload": {
            "summary": ("SignerHalted: " + "x" * 5000)[:1024],
            "source": "host",
            "severity": "critical",
            "timestamp": "2023-11-14T22:13:20.123+00:00",
            "component": "margin-keeper",
            "class": "SignerHalted",
            "custom_details": {"what": "x" * 5000, "sequence": 7},
        },
    }


@pytest.mark.parametrize("look", ["generic", "slack", "pagerduty"])
async def test_durable_records_reach_a_configured_webhook(log: io.StringIO, look: Format) -> None:
    """A run posts its grave records in the format asked for, counts them, and shows no secret in log or metrics."""
    receiver, metrics, clock = Receiver(), Metrics(CollectorRegistry()), JumpClock()
    telling = Telling(clock, metrics)
    async with receiving(receiver) as url:
        written = (
            {"url": url, "format": look, "routing_key": SECRET} if look == "pagerduty" else {"url": url, "format": look}
        )
        section = NotifySettings.model_validate(written)
        async with telling.reaching({"ops": section}), asyncio.TaskGroup() as tasks:
            running = telling.begin(tasks, Watchdog(clock, lambda _: None, lambda _: None))
            bodies = (ClockTicked(1), HALTED, KillSwitchChanged(armed=True, reason="file"))
            telling.settled(Settled(6, bodies, MS, 0.0, 0.0))
            await telling.drain(hurried=False)
            telling.reload({"ops": section.model_copy(update={"severity_min": "warning"})})
            telling.settled(Settled(9, bodies[2:], MS, 0.0, 0.0))
            await telling.drain(hurried=False)
            await cancelled(running)

    expected = {
        "generic": [body.get("sequence") for body in receiver.bodies],
        "slack": [7 if "(record 7)" in body.get("text", "") else 9 for body in receiver.bodies],
        "pagerduty": [body.get("payload", {}).get("custom_details", {}).get("sequence") for body in receiver.bodies],
    }
    exposition = metrics.exposition().decode()
    assert expected[look] == [7, 9]
    assert 'keeper_notifications_total{notifier="ops",outcome="delivered"} 2.0' in exposition
    assert 'keeper_notifications_total{notifier="ops",outcome="failed"} 0.0' in exposition
    assert SECRET not in exposition + log.getvalue()
