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
    signal.signal(signal.SIGTERM, _leave)  # until the run has begun, which drains
    import structlog

    from keeper.app.dumps import forbid_dumps
    from keeper.app.keys import opening_keys
    from keeper.observe.log import configure_logging
    from keeper.settings import Settings, development_keys, forget_secrets, load_settings

    if live:
        forbid_dumps()  # before the first secret is read
    settings = load_settings(config, os.environ, dev=dev)
    configure_logging(sys.stderr, settings.log.format, settings.log.level)
    if live and settings.mode != "live":
        structlog.get_logger().warning("dry run", reason='the file says mode = "dry-run"', remedy='set mode = "live"')
    live = live and settings.mode == "live"
    keys = opening_keys(settings, development_keys(settings, os.environ) if dev else {}, live=live)
    settings = settings.without_secrets()
    forget_secrets(os.environ)

    import uvloop  # from here on it takes its time, while the keystores open

    from keeper.app.daemon import run_daemon

    def reread() -> Settings:
        return load_settings(config, os.environ, dev=dev).without_secrets()

    uvloop.run(run_daemon(settings, keys, live=live, reread=reread, release=tuple(release_signer or ())))


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Leave a start in order: nothing was decided yet, so nothing need be waited for."""
    raise SystemExit(0)
