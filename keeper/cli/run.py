"""``keeper run``: the daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
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
    dev: Annotated[
        bool, typer.Option("--dev", help="Take raw keys from KEEPER__SIGNERS__<NAME>__KEY; on local chains only.")
    ] = False,
    release_signer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Lift the halt of a signer you have looked into: its nonces go on from the chain's.",
        ),
    ] = None,
) -> None:
    """Watch the venues, decide, and with --live act. SIGTERM drains and exits 0; a second one hurries."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the run has begun: the file is only about to be read
    signal.signal(signal.SIGTERM, _leave)
    import structlog

    from keeper.app.dumps import forbid_dumps
    from keeper.app.keys import opening_keys
    from keeper.observe.log import configure_logging
    from keeper.settings import Settings, development_keys, forget_secrets, load_settings, withheld

    if live:
        forbid_dumps()  # before the first secret is read
    settings = load_settings(config, os.environ, dev=dev)
    configure_logging(sys.stderr, settings.log.format, settings.log.level)
    if live and settings.mode != "live":
        structlog.get_logger().warning("dry run", reason='the file says mode = "dry-run"', remedy='set mode = "live"')
    live = live and settings.mode == "live"
    secrets = withheld(settings)
    keys = opening_keys(settings, development_keys(settings, os.environ) if dev else {}, live=live)
    settings = settings.without_secrets()
    forget_secrets(os.environ)

    import uvloop  # from here on it takes its time, while the keystores open

    from keeper.app.daemon import run_daemon

    def reread() -> Settings:
        return load_settings(config, os.environ, dev=dev).without_secrets()

    daemon = run_daemon(settings, keys, live=live, reread=reread, release=tuple(release_signer or ()), secrets=secrets)
    uvloop.run(_unless_told_to_leave(daemon))


async def _unless_told_to_leave(daemon: Coroutine[object, object, None]) -> None:
    """Run the daemon; until its run has begun, and it drains, SIGTERM cancels its start where that waits.

    An exception out of a signal handler would be raised in whatever task is at work, which is not ours to end.
    """
    told = asyncio.Event()
    starting = asyncio.current_task()

    def leave() -> None:
        told.set()
        if starting is not None:
            starting.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
    try:
        await daemon
    except asyncio.CancelledError:
        if not told.is_set():
            raise


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Leave before anything is open."""
    raise SystemExit(0)
