"""Whatever an event is built of, the line that is written of it holds no secret that the scrubbing promises to drop."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from keeper.execution.signer import LocalSigner
from keeper.observe.log import LogFormat, configure_logging, log_context
from keeper.observe.scrub import scrubbed

KEY = bytes(range(0x60, 0x80))
WORD = "xyzzy-plugh"
"""Stands in URLs, under names and in assignments; nothing that is shown has a reason to contain it."""
RAW = bytes(range(2, 120))
URLS = [
    f"https://node.example/v3/{WORD}",
    f"wss://{WORD}:x@node.example:8443/",
    f"https://node.example/?apikey={WORD}&x=1",
]
FORBIDDEN = [WORD, RAW.hex()[40:100], KEY.hex(), repr(RAW)[20:60]]


@dataclass(frozen=True)
class Exotic:
    """An object with its own idea of printing."""

    text: str

    def __repr__(self) -> str:
        return self.text


class Wrapped(msgspec.Struct, frozen=True):
    """A struct, which the JSON encoder would write by itself."""

    note: str
    password: str = WORD


@dataclass(frozen=True)
class Login:
    """A data class, which the JSON encoder would write by itself."""

    note: str
    password: str = WORD


def chained(text: str) -> Exception:
    """Return an exception with a cause and a context."""
    last = RuntimeError(f"then {text}")
    last.__cause__ = ValueError(f"first {text}")
    last.__cause__.__context__ = KeyError(text)
    return last


texts = st.one_of(
    st.sampled_from(URLS),
    st.sampled_from([f"asked {URLS[0]}, twice", f"password={WORD}", f"api_key = '{WORD}'", f"sent 0x{RAW.hex()}."]),
    st.text(max_size=10),
)
leaves: st.SearchStrategy[object] = st.one_of(
    texts,
    st.sampled_from([RAW, bytearray(RAW), memoryview(RAW), SecretStr(WORD), LocalSigner(KEY), None, True, 1, 2.5]),
    texts.map(Exotic),
    texts.map(Wrapped),
    texts.map(Login),
    texts.map(chained),
)
SECRET_NAMES = ["password", "api_key", "Authorization", "raw", "signed_tx", "keystore-password"]


def containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Return values that hold others."""
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(texts, max_size=3),
        st.dictionaries(texts, inner, max_size=3),
        st.dictionaries(texts, inner, max_size=2).map(MappingProxyType),
        st.dictionaries(st.sampled_from(SECRET_NAMES), st.just(WORD), max_size=3),
    )


events: st.SearchStrategy[Mapping[str, object]] = st.dictionaries(
    st.sampled_from(["chain", "what", "_hidden", "error", *URLS]),
    st.recursive(leaves, containers, max_leaves=8),
    max_size=4,
)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.slow
@pytest.mark.parametrize("look", ["json", "console"])
@given(event=events, text=texts)
def test_no_line_holds_a_secret(look: LogFormat, event: Mapping[str, object], text: str) -> None:
    """Fields, context, message and traceback, nested as they may be, by either logger, in either look."""
    stream = io.StringIO()
    configure_logging(stream, look)
    with log_context(where=text):
        structlog.get_logger("keeper").warning(text, **event)
        structlog.get_logger("keeper").error("failed", exc_info=chained(text))
        logging.getLogger("aiohttp").warning("%s: %r", text, event.get("what"), exc_info=chained(text))

    written = stream.getvalue()
    assert written.count("failed") >= 1
    assert [secret for secret in FORBIDDEN if secret in written] == []


def test_json_stays_json() -> None:
    """A line of objects that no encoder knows is one JSON object all the same."""
    stream = io.StringIO()
    configure_logging(stream, "json")
    structlog.get_logger("keeper").info("seen", what=[Exotic("it"), {Exotic("a"): {1}}, Login("x", "y"), chained("x")])

    assert json.loads(stream.getvalue())["what"] == [
        "it",
        {"a": [1]},
        "Login(note='x', password=***)",
        "RuntimeError: then x",
    ]


def test_a_container_in_itself_ends() -> None:
    """A list that holds itself is cut off, not followed for ever."""
    loop: list[object] = []
    loop.append(loop)

    assert "…" in repr(scrubbed(loop))


def test_a_hash_stays_and_what_is_longer_is_cut() -> None:
    """Thirty-two bytes are a hash and are shown; of more only the beginning is, as bytes and as text."""
    assert scrubbed([bytes(32), bytes(33), "ab" * 32, "ab" * 33]) == [
        "0x" + "00" * 32,
        "0x00000000…",
        "ab" * 32,
        "abababab…",
    ]


def test_a_line_that_cannot_be_made_shows_nothing() -> None:
    """Where formatting fails, the logger is named; arguments are not printed past the scrubbing."""
    stream = io.StringIO()
    configure_logging(stream, "json")
    logging.getLogger("aiohttp").warning("%d of it", WORD)

    assert stream.getvalue() == '{"level":"error","event":"a log line of aiohttp could not be written"}\n'
