"""How a postmortem writes figures: rounded down, so that nothing reads better than it was."""

from __future__ import annotations

from datetime import UTC, datetime

NOTHING = "\u2013"
_BASE_PER_CENT = 10**6
_WAD_PER_TENTHOUSANDTH = 10**14
_WEI_PER_MICRO = 10**12
_SECOND_MS = 1000
_HEAD, _TAIL = 6, 4


def usd(amount: int | None) -> str:
    """Write USD 1e-8 in cents, rounded down."""
    if amount is None:
        return NOTHING
    cents = int(amount) // _BASE_PER_CENT
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def factor(value: int | None) -> str:
    """Write a health with four places, rounded down so that below one never reads as one."""
    if value is None:
        return NOTHING
    whole = int(value) // _WAD_PER_TENTHOUSANDTH
    return f"{'-' if whole < 0 else ''}{abs(whole) // 10_000}.{abs(whole) % 10_000:04}"


def ether(wei: int | None) -> str:
    """Write wei as coins with six places, rounded down."""
    if wei is None:
        return NOTHING
    micro = int(wei) // _WEI_PER_MICRO
    return f"{micro // 10**6:,}.{micro % 10**6:06}"


def gwei(wei: int) -> str:
    """Write a gas price in gwei."""
    return f"{int(wei) / 10**9:,.2f}"


def span(milliseconds: int | None) -> str:
    """Write how long something took."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < _SECOND_MS:
        return f"{milliseconds} ms"
    return f"{milliseconds / _SECOND_MS:,.2f} s"


def short(raw: bytes) -> str:
    """Write the ends of an address or a hash."""
    digits = "0x" + raw.hex()
    return f"{digits[:_HEAD]}\u2026{digits[-_TAIL:]}"


def utc(unix_ms: int) -> str:
    """Write a moment in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_ms / _SECOND_MS, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def clock(unix_ms: int) -> str:
    """Write the time of day of a moment in UTC."""
    return utc(unix_ms)[11:-1]


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write how many there are of something."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
