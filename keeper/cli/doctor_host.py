"""The checks that need no node: keystores, journal, disk."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

from keeper.cli.findings import Findings
from keeper.cli.journals import check_chains, opened
from keeper.core.errors import ConfigError, CredentialError, NotHolding
from keeper.core.ids import to_hex
from keeper.execution.keys import keystore_address, unlock_keystore
from keeper.journal.urls import journal_path
from keeper.settings import Settings, http_token

GIB_BYTES = 1 << 30
FREE_BYTES_MIN = GIB_BYTES
MEMORY = "memory://"


def examine_host(settings: Settings, findings: Findings) -> None:
    """Check what is on this machine."""
    findings.check("http", partial(_http, settings))
    for name in settings.signers:
        findings.check(f"signer {name}", partial(_keystore, settings, name))
    if settings.journal.url == MEMORY:
        return
    path = journal_path(settings.journal.url)
    if findings.check("journal", partial(_journal, settings, path)):
        findings.check("disk", partial(_disk, path))


def _http(settings: Settings) -> str:
    """Say who may ask the HTTP server."""
    whom = "this host only" if settings.http.listen.is_loopback else "whoever has the token"
    switch = (
        "with the token" if http_token(settings) is not None and settings.limits.kill_switch_file else "by its file"
    )
    return f"{settings.http.listen} answers {whom}, the kill switch is set {switch}"


def _keystore(settings: Settings, name: str) -> str:
    signer = settings.signers[name]
    if signer.password is not None:
        unlocked = unlock_keystore(signer.keystore, signer.password.get_secret_value())
        return f"keystore opens, {to_hex(unlocked.address)}"
    if settings.mode == "live":
        variable = f"KEEPER__SIGNERS__{name.upper()}__PASSWORD"
        raise CredentialError(
            f"signers.{name}.password", "the password is missing", f"set {variable} or {variable}_FILE"
        )
    return f"{to_hex(keystore_address(signer.keystore))}, no password given and none needed in dry-run mode"


def _journal(settings: Settings, path: Path) -> str:
    if not path.parent.is_dir():
        raise ConfigError(f"journal {path}", f"folder {path.parent} does not exist", "create it")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = f"folder {path.parent} cannot be written ({error.strerror})"
        raise ConfigError(f"journal {path}", reason, "give this user the right to write there") from None
    if not path.exists():
        return f"{path} will be created"
    with opened(settings.journal.url) as reader:
        check_chains(reader, settings)
        return f"{path} ends at sequence {reader.last_sequence:,}"


def _disk(path: Path) -> str:
    free = shutil.disk_usage(path.parent).free
    if free < FREE_BYTES_MIN:
        raise NotHolding("disk", f"{free / GIB_BYTES:.2f} GiB free at {path.parent}", "free at least 1 GiB")
    return f"{free / GIB_BYTES:,.1f} GiB free at {path.parent}"
