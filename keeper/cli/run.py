"""``keeper run``: the daemon."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from keeper.cli.options import ConfigOption


def command(
    *,
    config: ConfigOption,
    live: Annotated[
        bool, typer.Option("--live", help='Send transactions, if the file says mode = "live" too.')
    ] = False,
) -> None:
    """Watch the venues, decide, and with --live act. SIGTERM drains and exits 0; a second one hurries."""
    signal.signal(signal.SIGTERM, _leave)  # until the run has begun, which drains
    import structlog
    import uvloop

    from keeper.app.daemon import run_daemon
    from keeper.observe.log import configure_logging
    from keeper.settings import load_settings

    settings = load_settings(config, os.environ)
    configure_logging(sys.stderr, settings.log.format, settings.log.level)
    if live and settings.mode != "live":
        structlog.get_logger().warning("dry run", reason='the file says mode = "dry-run"', remedy='set mode = "live"')
    uvloop.run(run_daemon(settings, live=live and settings.mode == "live"))


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Leave a start in order: nothing was decided yet, so nothing need be waited for."""
    raise SystemExit(0)
