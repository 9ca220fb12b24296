"""The value types of the configuration: each is one function from what was written to what is meant.

They take what TOML or the environment gives (the environment gives text only) and raise ``ValueError`` with a reason
that reads on after the key: "must be a whole number". No function puts a secret, or a URL that may carry one, into
its message.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from keeper.core.ids import Address, Hash32, parse_address, parse_hash, to_hex
from keeper.core.urls import without_credentials

PORT_MAX = 65535
TOKEN_LENGTH_MIN = 16
_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the HTTP server listens; port 0 takes any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether this host alone can reach it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class NodeUrl:
    """A node's URL. Many carry an API key in the path, so only :meth:`reveal` shows more than scheme and host."""

    _text: str

    def reveal(self) -> str:
        """Return the whole URL, to connect with; never to be logged."""
        return self._text

    def __str__(self) -> str:
        return without_credentials(self._text)

    def __repr__(self) -> str:
        return f"NodeUrl({str(self)!r})"


def text(value: object) -> str:
    """Accept a string that is not empty and has no NUL in it, which no path and no header can have."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    if "\0" in value:
        raise ValueError("must not have a NUL in it")
    return value


def name(value: object) -> str:
    """Accept a name that the environment can spell too."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("a name has lower-case letters, digits and single '_' or '-' between them")
    return value


def secret(value: object) -> SecretStr:
    """Accept a secret of any text that is not empty."""
    return SecretStr(text(value))


def webhook(value: object) -> SecretStr:
    """Accept a URL to post to; it may let whoever has it write there, so it is a secret."""
    parts = _split(value)
    if parts is None or not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("must be a URL that starts with https:// or http://")
    return SecretStr(str(value))


def path(value: object) -> Path:
    """Accept a path; it is not looked at."""
    return Path(text(value))


def address(value: object) -> Address:
    """Accept ``0x`` and 40 hexadecimal digits."""
    try:
        return parse_address(text(value))
    except ValueError:
        raise ValueError("is not an address: must be 0x and 40 hexadecimal digits") from None


def hash32(value: object) -> Hash32:
    """Accept ``0x`` and 64 hexadecimal digits."""
    try:
        return parse_hash(text(value))
    except ValueError:
        raise ValueError("is not 32 bytes: must be 0x and 64 hexadecimal digits") from None


def whole(least: int, most: int = 2**63 - 1) -> Callable[[object], int]:
    """Make a reader of whole numbers between two bounds, both allowed."""

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9][0-9_]*", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic collects ValueError only
        if not least <= value <= most:
            raise ValueError(f"must be {least} or more" if value < least else f"must be {most} or less")
        return value

    return read


def exact(
    places: int,
    *,
    above: int | None = None,
    least: int | None = None,
    most: Decimal | int | None = None,
    signed: bool = False,
) -> Callable[[object], Decimal]:
    """Make a reader of exact decimals with at most ``places`` digits after the point.

    Args:
        places: What the integer unit behind it can hold (USD in 1e-8: 8).
        above: The value must be greater than this, where given.
        least: The value must not be less than this, where given.
        most: The value must not be greater than this, where given.
        signed: Whether the value may be negative.
    """

    def read(value: object) -> Decimal:
        number = _decimal(value)
        if number < 0 and not signed:
            raise ValueError("must not be negative")
        if above is not None and number <= above:
            raise ValueError(f"must be greater than {above}")
        if least is not None and number < least:
            raise ValueError(f"must be at least {least}")
        if most is not None and number > most:
            raise ValueError(f"must be at most {most}")
        too_small = number != 0 and number.adjusted() < -places  # its ratio may be too long to work out
        if too_small or 10**places % number.as_integer_ratio()[1]:
            raise ValueError(f"has more than {places} digits after the point")
        return number

    return read


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError only
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite() or number.adjusted() > 18:  # noqa: PLR2004 - a quintillion is a typing error
        raise ValueError("must be a finite number below 1e19")
    return number


def seconds(value: object) -> float:
    """Accept a time span greater than zero; only the shells wait by it, no decision is made by it."""
    span = float(_decimal(value))
    if span <= 0:
        raise ValueError("must be greater than 0")
    return span


def finality(value: object) -> Literal["tag"] | int:
    """Accept ``"tag"`` or a depth of at least one block."""
    if value == "tag":
        return "tag"
    try:
        return whole(1)(value)
    except ValueError:
        raise ValueError('must be "tag" or a depth of 1 block or more') from None


def node_urls(*schemes: str, least: int = 0) -> Callable[[object], tuple[NodeUrl, ...]]:
    """Make a reader of a list of at least so many URLs with one of these schemes, none of them twice."""

    def read(value: object) -> tuple[NodeUrl, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list of URLs")  # noqa: TRY004 - pydantic collects ValueError only
        if len(value) < least:
            raise ValueError(f"must have {least} URL or more")
        urls = tuple(_node_url(item, schemes) for item in value)
        if len(set(urls)) != len(urls):
            raise ValueError("names the same URL twice")
        return urls

    return read


def _node_url(value: object, schemes: tuple[str, ...]) -> NodeUrl:
    parts = _split(value)
    if parts is None or not parts.hostname or parts.scheme not in schemes:
        raise ValueError(f"must hold URLs that start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return NodeUrl(str(value))


def _split(value: object) -> SplitResult | None:
    try:
        parts = urlsplit(text(value))
        _ = parts.port  # read for its ValueError: urlsplit looks at the port only when asked
    except ValueError:
        return None
    return parts


def journal_url(value: object) -> str:
    """Accept ``sqlite://`` with an absolute path, or ``memory://``."""
    url = text(value)
    if url == "memory://" or (url.startswith("sqlite:///") and not url.endswith("/")):
        return url
    raise ValueError("must be sqlite:// and an absolute path, or memory://")


def listen(value: object) -> Listen:
    """Accept ``host:port`` of an IP address or ``localhost``."""
    host, _, port = text(value).rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ValueError(f"must be host:port with a port from 0 to {PORT_MAX}")
    host = host.removeprefix("[").removesuffix("]")
    try:
        _ = host == "localhost" or ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("must be an IP address or localhost, and a port") from None
    return Listen(host, int(port))


def token(value: object) -> SecretStr:
    """Accept a secret that an HTTP header can carry and nobody guesses."""
    found = text(value)
    if len(found) < TOKEN_LENGTH_MIN or re.fullmatch(r"[!-~]+", found) is None:
        raise ValueError(f"must be {TOKEN_LENGTH_MIN} or more visible ASCII characters")
    return SecretStr(found)


def names(value: object) -> tuple[str, ...]:
    """Accept a list of at least one name, none twice."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("must be a list of at least one name")
    found = tuple(text(item) for item in value)
    if len(set(found)) != len(found):
        raise ValueError("names the same thing twice")
    return found


def addresses(value: object) -> tuple[Address, ...]:
    """Accept a list of addresses, none twice; it may be empty."""
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of addresses")  # noqa: TRY004 - as above
    found = tuple(address(item) for item in value)
    if len(set(found)) != len(found):
        raise ValueError("names the same thing twice")
    return found


def address_pairs(value: object) -> tuple[tuple[Address, Address], ...]:
    """Accept a table of at least one address to an address, none twice; the pairs keep the table's order."""
    if not isinstance(value, dict) or not value:
        raise ValueError("must be a table of one address or more to an address")
    found = tuple((address(key.lower()), address(item)) for key, item in value.items())
    if len({key for key, _ in found}) != len(found):
        raise ValueError("names the same thing twice")
    return found


def chosen(*choices: str) -> Callable[[object], tuple[str, ...]]:
    """Make a reader of lists of one or more of these names, none twice."""

    def read(value: object) -> tuple[str, ...]:
        found = names(value)
        wrong = [each for each in found if each not in choices]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is none of {', '.join(map(repr, choices))}")
        return found

    return read


def slippages(value: object) -> dict[str, int]:
    """Accept a table of token address to basis points; addresses come out in lower case.

    Symbols are refused: two tokens may share one, and the wrong one would silently take the default.
    """
    if not isinstance(value, dict):
        raise ValueError("must be a table of token address to basis points")  # noqa: TRY004 - as above
    bps = whole(0, 10_000)
    return {to_hex(parse_address(token.lower())): bps(figure) for token, figure in value.items()}


def percents(value: object) -> dict[str, Decimal]:
    """Accept a table of token address to percent; addresses come out in lower case."""
    if not isinstance(value, dict):
        raise ValueError("must be a table of token address to percent")  # noqa: TRY004 - as above
    percent = exact(4, above=0, most=2000)
    return {to_hex(parse_address(token.lower())): percent(figure) for token, figure in value.items()}
