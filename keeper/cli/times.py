"""Times as commands write them: UTC, which logs and the journal are in, and the reader's own clock where it differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def written(unix_ms: int) -> str:
    """Return a moment (milliseconds of Unix time) in UTC, with the local time behind it in any other zone (``TZ``)."""
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    universal = moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    local = moment.astimezone()
    if local.utcoffset() == timedelta(0):
        return universal
    day = "" if local.date() == moment.date() else local.strftime("%Y-%m-%d ")
    return f"{universal} ({day}{local.strftime('%H:%M:%S %Z')})"
