"""Log lines as they come out at the other end."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from keeper.core.units import Wei
from keeper.observe.log import configure_logging, log_context

HIDDEN_URL = "https://eth.example/hunter2"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def last_line(stream: io.StringIO) -> dict[str, Any]:
    """Return the last JSON line."""
    line: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return line


def fail(url: str) -> None:
    """Raise an exception whose text has a URL."""
    raise ValueError(f"cannot reach {url}")


def test_lines_are_json_where_no_one_looks() -> None:
    """Away from a terminal each line is one JSON object with its level, logger and event."""
    stream = io.StringIO()
    configure_logging(stream)

    structlog.get_logger("keeper.chain").info("head", block=7)

    line = last_line(stream)
    assert (line["event"], line["level"], line["logger"], line["block"]) == ("head", "info", "keeper.chain", 7)


def test_timestamps_are_utc() -> None:
    """A line's time is UTC, and says so."""
    stream = io.StringIO()
    configure_logging(stream)

    structlog.get_logger("keeper").info("now")

    assert last_line(stream)["timestamp"].endswith("Z")


def test_lines_are_for_people_on_a_terminal() -> None:
    """On a terminal a line is text, in colour."""
    stream = Terminal()
    configure_logging(stream, environ={})

    structlog.get_logger("keeper").info("head", block=7)

    assert "\x1b[" in stream.getvalue()


def test_no_color_is_respected() -> None:
    """``NO_COLOR`` in the environment switches colours off."""
    stream = Terminal()
    configure_logging(stream, environ={"NO_COLOR": "1"})

    structlog.get_logger("keeper").info("head", block=7)

    assert "\x1b[" not in stream.getvalue()


def test_context_is_bound_to_every_line() -> None:
    """Chain and venue stand on each line logged within their context, by whichever logger, and on none after it."""
    stream = io.StringIO()
    configure_logging(stream)

    with log_context(chain="local", venue="aave"):
        logging.getLogger("aiohttp").warning("slow")
    inside = last_line(stream)
    structlog.get_logger("keeper").info("later")

    assert (inside["chain"], inside["venue"]) == ("local", "aave")
    assert "chain" not in last_line(stream)


def test_secrets_do_not_reach_the_stream() -> None:
    """Neither a field, nor a URL in a message, nor one in an exception's traceback carries a secret out."""
    stream = io.StringIO()
    configure_logging(stream)
    log = structlog.get_logger("keeper")

    log.info("unlocking", password="hunter2")
    logging.getLogger("aiohttp").warning("failed: %s", "https://eth.example/hunter2")
    try:
        fail("https://eth.example/hunter2")
    except ValueError:
        log.exception("failed")

    assert "hunter2" not in stream.getvalue()


def test_tracebacks_are_plain_on_a_terminal() -> None:
    """A traceback for people shows no local variables and no secret in a URL."""
    stream = Terminal()
    configure_logging(stream, environ={})
    hidden = HIDDEN_URL

    try:
        fail(hidden)
    except ValueError:
        structlog.get_logger("keeper").exception("failed")

    assert "ValueError: cannot reach https://eth.example/…" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_levels_are_kept() -> None:
    """Below the configured level nothing is written."""
    stream = io.StringIO()
    configure_logging(stream, level="warning")

    structlog.get_logger("keeper").info("quiet")

    assert stream.getvalue() == ""


def test_money_is_written_as_text() -> None:
    """An integer that may pass 2^53 is a string in JSON."""
    stream = io.StringIO()
    configure_logging(stream)

    structlog.get_logger("keeper").info("balance", balance_wei=Wei(10**20))

    assert last_line(stream)["balance_wei"] == "100000000000000000000"
