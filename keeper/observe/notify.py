"""Tells a webhook what an operator must know at once, where no Alertmanager does.

What is told are durable records, by :func:`notice`. Each webhook has a bounded queue and a task of its own: one that
hangs delays neither the daemon nor another webhook, and of a full queue the oldest notice is dropped and counted.
An attempt has a time limit, and is made again after a pause while the other side does not answer, answers 5xx or asks
for patience (408, 429). Nothing here ends the process. A notice may arrive twice (the answer was lost): its sequence
tells. Of a URL nothing but the host is ever logged.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, Never
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from keeper import __version__
from keeper.core.codec import AnyBody
from keeper.core.decisions import (
    AuditFailed,
    HealthChanged,
    Intent,
    IntentAdmitted,
    ProposalRefused,
    ProtectionRefused,
    SignerHalted,
    VenuePaused,
)
from keeper.core.errors import NodeUnreachable
from keeper.core.facts import KillSwitchChanged, LogsRepaired, ReceiptSeen
from keeper.core.ids import to_hex
from keeper.core.own_money import ProtectionProposal
from keeper.core.ports import Clock
from keeper.core.units import BaseAmount
from keeper.core.venue import AccountMargin
from keeper.observe.lines import short_id, summary
from keeper.observe.scrub import redacted

Severity = Literal["critical", "warning"]
Format = Literal["generic", "slack", "pagerduty"]
OUTCOMES = ("delivered", "refused", "failed", "dropped", "repeated")
"""What becomes of a notice: exactly one of these."""
QUEUE_MAX = 64
ATTEMPTS_MAX = 6
ATTEMPT_SECONDS_MAX = 10.0
WAIT_SECONDS_FIRST = 1.0
WAIT_SECONDS_MAX = 30.0
REPEAT_SECONDS = 60.0
"""A warning about the same thing is not told again within this time; what is critical always is."""
BAD_DEBT_BASE_MIN = BaseAmount(1_000 * 10**8)
"""Dust that is worth less than it owes is everywhere; from this shortfall on it is told."""
SPENT = frozenset({"spend_per_intent", "spend_per_hour", "gas_budget"})
"""The rules of the gate that bound what is spent."""
SUMMARY_LENGTH_MAX = 1024
DEDUP_LENGTH_MAX = 255
"""PagerDuty's own bounds."""
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_TRY_AGAIN = (408, 429)


class Notice(msgspec.Struct, frozen=True):
    """What is told: ``key`` is the same for whatever is about the same thing, ``what`` the record's line."""

    severity: Severity
    kind: str
    key: str
    what: str
    sequence: int
    unix_ms: int


class Webhook(msgspec.Struct, frozen=True):
    """Where, how and from which severity on. ``routing_key`` is PagerDuty's."""

    name: str
    url: SecretStr
    format: Format
    severity_min: Severity
    routing_key: SecretStr | None = None


def notice(body: AnyBody, sequence: int, unix_ms: int) -> Notice | None:
    """Return what is to be told of a record, ``None`` where it can wait until somebody looks."""
    found = _grave(body)
    if found is None:
        return None
    severity, about = found
    kind = type(body).__name__
    return Notice(severity, kind, f"{kind}:{about}", redacted(summary(body)), sequence, unix_ms)


def _grave(body: AnyBody) -> tuple[Severity, str] | None:
    rule = _GRAVE.get(type(body))
    if rule is None:
        return None
    severity, about = rule
    found = about(body)
    return None if found is None else (severity, found)


def _bad_debt(decision: HealthChanged) -> str | None:
    margin = decision.margin
    shortfall = margin.debt_base - margin.collateral_base
    return _whose(margin) if margin.health_wad is not None and shortfall >= BAD_DEBT_BASE_MIN else None


def _whose(of: AccountMargin | AuditFailed | Intent | ProtectionProposal) -> str:
    return f"{of.venue}:{to_hex(of.account)}"


_GRAVE: Mapping[type, tuple[Severity, Callable[[Any], str | None]]] = MappingProxyType(
    {
        SignerHalted: ("critical", lambda decision: str(decision.signer)),
        VenuePaused: ("critical", lambda decision: str(decision.venue)),
        AuditFailed: ("critical", _whose),
        HealthChanged: ("critical", _bad_debt),
        ProtectionRefused: ("critical", lambda decision: _whose(decision.proposal)),
        IntentAdmitted: (
            "warning",
            lambda decision: _whose(decision.intent) if decision.intent.kind == "protection" else None,
        ),
        KillSwitchChanged: ("warning", lambda fact: "file" if fact.armed and fact.reason == "file" else None),
        LogsRepaired: ("warning", lambda fact: f"{fact.chain_id}:{fact.liar}"),
        ReceiptSeen: ("warning", lambda fact: None if fact.succeeded else short_id(fact.intent_id)),
        ProposalRefused: ("warning", lambda decision: str(decision.reason) if decision.reason in SPENT else None),
    }
)
"""What is told of: how grave it is, and what it is about; ``None`` where this one is not told."""


def generic_body(told: Notice, source: str, _routing_key: str) -> dict[str, Any]:
    """Return the keeper's own body; ``version`` changes with its shape."""
    return {"version": 1, "source": source, "keeper": __version__, **msgspec.to_builtins(told)}


def slack_body(told: Notice, source: str, _routing_key: str) -> dict[str, Any]:
    """Return the body of an incoming webhook of Slack: a text, its three control characters escaped."""
    text = f"{told.severity.upper()} {told.kind} at {source}: {told.what} (record {told.sequence})"
    return {"text": text.translate(_SLACK), "mrkdwn": False}


def pagerduty_body(told: Notice, source: str, routing_key: str) -> dict[str, Any]:
    """Return a trigger of PagerDuty's Events API v2; what is about the same thing joins one incident."""
    at = datetime.fromtimestamp(told.unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": f"{source}/{told.key}"[:DEDUP_LENGTH_MAX],
        "client": "margin-keeper",
        "payload": {
            "summary": f"{told.kind}: {told.what}"[:SUMMARY_LENGTH_MAX],
            "source": source,
            "severity": told.severity,
            "timestamp": at,
            "component": "margin-keeper",
            "class": told.kind,
            "custom_details": {"what": told.what, "sequence": told.sequence},
        },
    }


BODIES: Mapping[Format, Callable[[Notice, str, str], dict[str, Any]]] = MappingProxyType(
    {"generic": generic_body, "slack": slack_body, "pagerduty": pagerduty_body}
)


class Notifier:
    """Sends the notices of one webhook, oldest first.

    Args:
        webhook: Where to.
        session: Makes the requests.
        clock: Paces them.
        on_outcome: Told of each notice what became of it, one of :data:`OUTCOMES`.
        source: Who tells; the machine's name.
        queue_max: More than this wait for nobody.
        attempt_seconds_max: For one answer.
    """

    def __init__(
        self,
        webhook: Webhook,
        session: aiohttp.ClientSession,
        clock: Clock,
        on_outcome: Callable[[str], None],
        *,
        source: str | None = None,
        queue_max: int = QUEUE_MAX,
        attempt_seconds_max: float = ATTEMPT_SECONDS_MAX,
    ) -> None:
        self.name = webhook.name
        self.severity_min: Severity = webhook.severity_min
        self._webhook = webhook
        self._host = urlsplit(webhook.url.get_secret_value()).hostname or ""
        self._session = session
        self._clock = clock
        self._on_outcome = on_outcome
        self._source = source or socket.gethostname()
        self._queue_max = queue_max
        self._timeout = aiohttp.ClientTimeout(total=attempt_seconds_max)
        self._queue: deque[Notice] = deque()
        self._told_at: dict[str, float] = {}
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger()

    @property
    def depth(self) -> int:
        """Return how many notices wait."""
        return len(self._queue)

    def offer(self, told: Notice) -> None:
        """Queue a notice, unless it is of too little weight; returns at once."""
        if told.severity != "critical" and (self.severity_min == "critical" or self._is_repeated(told.key)):
            if self.severity_min != "critical":
                self._on_outcome("repeated")
            return
        if len(self._queue) >= self._queue_max:
            self._queue.popleft()
            self._on_outcome("dropped")
        self._queue.append(told)
        self._idle.clear()
        self._some.set()

    async def run(self) -> Never:
        """Send until cancelled."""
        while True:
            await self._some.wait()
            told = self._queue.popleft()
            if not self._queue:
                self._some.clear()
            self._on_outcome(await self._deliver(told))
            if not self._queue:
                self._idle.set()

    async def drain(self, seconds_max: float) -> None:
        """Wait until all is sent, but not for longer; what is left is lost, and said to be."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._idle.wait()
        if not self._idle.is_set():
            self._log.warning("notifications lost", notifier=self.name, host=self._host, waiting=len(self._queue))
            for _ in range(len(self._queue) + 1):  # and the one under way
                self._on_outcome("dropped")
            self._queue.clear()
            self._some.clear()

    def _is_repeated(self, key: str) -> bool:
        now = self._clock.monotonic()
        self._told_at = {each: at for each, at in self._told_at.items() if now - at < REPEAT_SECONDS}
        if key in self._told_at:
            return True
        self._told_at[key] = now
        return False

    async def _deliver(self, told: Notice) -> str:
        hook = self._webhook
        routing_key = hook.routing_key.get_secret_value() if hook.routing_key else ""
        body = msgspec.json.encode(BODIES[hook.format](told, self._source, routing_key))
        attempts = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=retry_if_exception_type(NodeUnreachable),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            wait=wait_exponential_jitter(WAIT_SECONDS_FIRST, WAIT_SECONDS_MAX),
            before_sleep=self._survived,
            reraise=True,
        )
        try:
            status: int = await attempts(self._post, body)
        except NodeUnreachable as error:
            self._fell(told, "failed", error.reason)
            return "failed"
        if not 200 <= status < 300:  # noqa: PLR2004 - the class of HTTP's successes
            self._fell(told, "refused", f"answered {status}")
            return "refused"
        return "delivered"

    async def _post(self, body: bytes) -> int:
        """Make one attempt.

        Raises:
            NodeUnreachable: there was no answer, or one that asks to try again.
        """
        url, headers = self._webhook.url.get_secret_value(), {"Content-Type": "application/json"}
        reason = ""
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = type(error).__name__  # its text may hold the URL
        else:
            if status not in _TRY_AGAIN and status < 500:  # noqa: PLR2004 - the class of HTTP's server errors
                return status
            reason = f"answered {status}"
        raise NodeUnreachable(f"webhook {self.name}", reason)

    def _survived(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        reason = error.reason if isinstance(error, NodeUnreachable) else ""
        self._log.info(
            "notification tried again",
            notifier=self.name,
            host=self._host,
            attempt=state.attempt_number,
            reason=reason,
        )

    def _fell(self, told: Notice, outcome: str, reason: str) -> None:
        self._log.error(
            "not notified",
            notifier=self.name,
            host=self._host,
            kind=told.kind,
            sequence=told.sequence,
            outcome=outcome,
            reason=reason,
        )
