"""What an operator would prepare by hand: a keystore, a configuration file, a folder."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Protocol

from keeper.core.errors import UsageError
from keeper.execution.keys import SCRYPT_WORK_FACTOR, import_keystore
from keeper.journal.lock import WriterLock
from keeper.lab.demo.acts import Act
from keeper.lab.demo.daemon import DaemonFiles, free_port
from keeper.lab.localchain.aave import AaveMarket

CONFIG = Template("""\
# Written by `keeper demo`: what the daemon of the demo ran with. Its password was never written anywhere.
mode = "live"

[journal]
url = "sqlite://$journal"
snapshot_every_records = 200         # few, so that a short run leaves some

[http]
listen = "$listen"

[log]
format = "json"

[chains.local]
chain_id = 31337
http = $http
ws = $ws
finality = "tag"
wrapped_native = "$wrapped_native"
poll_interval_seconds = 0.5
request_timeout_seconds = $request_timeout_seconds

[signers.main]
keystore = "keys/main.json"
in_flight_max = 16

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "$provider"
bootstrap = "logs"
from_block = $from_block
prices = "events"
$sections$risk
[strategies.partial_liquidation]
venues = $venues
signer = "main"
objective = "target-health"
target_health = 1.05

[limits]
profit_usd_min = -5                  # small accounts are helped at a small loss
spend_usd_per_hour_max = 50_000_000
spend_usd_per_intent_max = 5_000_000
kill_switch_file = "$kill_switch"
""")

RISK = Template("""
[venues.$venue.risk]
model = "volatility"
horizon_seconds = 2                  # a slice takes no longer here: a block is half a second
sample_seconds = 1
samples_min = 3
half_life_seconds = 30
move_percent_max = 15                # seconds stand for hours: each second's fall would be annualised
step_percent_max = 30
""")
"""Of each venue: the second opinion."""


class Endpoint(Protocol):
    """A provider: the node itself, or a proxy of it."""

    @property
    def http_url(self) -> str:
        """Where requests go."""

    @property
    def ws_url(self) -> str:
        """Where heads are announced."""


def clean_folder(folder: Path) -> None:
    """Make a folder for a demo, and remove an older demo's files from it.

    Raises:
        UsageError: it cannot be made or written.
        OperatorError: the daemon of another demo writes there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        WriterLock(folder / "journal.db").release()
        for pattern in ("journal.db", "journal.db-*", "journal.db.mark", "keys/main.json", "daemon.log", "STOP"):
            for old in folder.glob(pattern):
                old.unlink()
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise UsageError(f"folder {folder}", reason, "name another with --out") from None


def prepare(
    folder: Path,
    endpoints: Sequence[Endpoint],
    market: AaveMarket,
    liquidator_key_hex: str,
    *,
    request_timeout_seconds: float = 10.0,
    work_factor: int = SCRYPT_WORK_FACTOR,
    acts: Sequence[Act] = (),
) -> DaemonFiles:
    """Write the keystore and ``keeper.toml`` into a folder.

    Args:
        folder: From :func:`clean_folder`.
        endpoints: The providers of the chain to follow, first choice first.
        market: The venue to keep safe.
        liquidator_key_hex: Goes into an encrypted keystore under a password of its own, held in memory only.
        request_timeout_seconds: How long the daemon waits for one answer.
        work_factor: What one try of the keystore's password costs.
        acts: The protocols beside Aave.
    """
    password = secrets.token_urlsafe(16)
    import_keystore(folder / "keys" / "main.json", liquidator_key_hex, password, work_factor=work_factor)
    venues = ["aave", *(act.venue for act in acts)]
    listen = f"127.0.0.1:{free_port()}"
    config = folder / "keeper.toml"
    config.write_text(
        CONFIG.substitute(
            journal=folder.resolve() / "journal.db",
            listen=listen,
            http=json.dumps([endpoint.http_url for endpoint in endpoints]),
            ws=json.dumps([endpoint.ws_url for endpoint in endpoints]),
            request_timeout_seconds=request_timeout_seconds,
            wrapped_native=market.asset("WETH").token,
            provider=market.provider,
            from_block=market.first_block,
            sections="".join(f"\n{act.section}" for act in acts),
            risk="".join(RISK.substitute(venue=venue) for venue in venues),
            venues=json.dumps(venues),
            kill_switch=folder.resolve() / "STOP",
        )
    )
    return DaemonFiles(
        config=config,
        log=folder / "daemon.log",
        http_url=f"http://{listen}",
        environment={"KEEPER__SIGNERS__MAIN__PASSWORD": password},
    )
