"""The keys of a run: their addresses at once, the signers as soon as their passwords are worked out.

A keystore makes every try of a password cost about a second, on purpose. That second passes in a thread, beside the
loading of the journal, so that a daemon which has died is soon back. No password is kept after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread

from pydantic import SecretStr

from keeper.core.errors import CredentialError
from keeper.core.ids import Address
from keeper.execution.keys import keystore_address, load_format, raw_key_signer, unlock_keystore
from keeper.execution.signer import LocalSigner
from keeper.settings import Settings

Signers = Mapping[str, LocalSigner]
"""By name; empty in a run that may not sign."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The address behind each signer's name, and the signers of a run that may sign, once they are open.

    The future raises a CredentialError when a password or a keystore is wrong.
    """

    addresses: Mapping[str, Address]
    signers: Future[Signers]


def opening_keys(settings: Settings, raw_keys: Mapping[str, SecretStr], *, live: bool) -> Keys:
    """Begin to open the keystores; a dry run needs their addresses only.

    Args:
        settings: Validated.
        raw_keys: Keys of a development run by signer; their keystores are not looked at.
        live: Whether transactions will be signed.

    Raises:
        CredentialError: a keystore, its password or a raw key is missing, or a raw key is wrong.
    """
    raw = {name: raw_key_signer(key.get_secret_value()) for name, key in raw_keys.items()}
    addresses = {
        name: raw[name].address if name in raw else keystore_address(signer.keystore)
        for name, signer in settings.signers.items()
    }
    keys = Keys(addresses, Future())
    if live:
        load_format()
        passwords = {name: _password(settings, name) for name in settings.signers if name not in raw}
        Thread(target=_open, args=(settings, passwords, raw, keys.signers), name="keystores", daemon=True).start()
    else:
        keys.signers.set_result({})
    return keys


def _password(settings: Settings, name: str) -> SecretStr:
    password = settings.signers[name].password
    if password is None:
        variable = f"KEEPER__SIGNERS__{name.upper()}__PASSWORD"
        raise CredentialError(f"signers.{name}.password", "is missing", f"set {variable} or {variable}_FILE")
    return password


def _open(settings: Settings, passwords: Mapping[str, SecretStr], raw: Signers, signers: Future[Signers]) -> None:
    """Open the keystores one after the other: each takes the memory that makes a try of its password dear."""
    signers.set_running_or_notify_cancel()  # a start that is left meanwhile cannot cancel what is set below
    try:
        opened = {
            name: unlock_keystore(settings.signers[name].keystore, password.get_secret_value())
            for name, password in passwords.items()
        }
    except Exception as error:  # noqa: BLE001 - whoever waits for the signers gets it
        signers.set_exception(error)
    else:
        signers.set_result({**raw, **opened})
