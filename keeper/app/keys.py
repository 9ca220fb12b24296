"""The keys of a run: opened before anything else is, after which no password is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from keeper.core.errors import CredentialError
from keeper.core.ids import Address
from keeper.execution.keys import keystore_address, raw_key_signer, unlock_keystore
from keeper.execution.signer import LocalSigner
from keeper.settings import Settings


@dataclass(frozen=True, slots=True)
class Keys:
    """The address behind each signer's name, and the signers of a run that may sign."""

    addresses: Mapping[str, Address]
    signers: Mapping[str, LocalSigner]


def opened_keys(settings: Settings, raw_keys: Mapping[str, SecretStr], *, live: bool) -> Keys:
    """Open the keystores; a dry run needs their addresses only.

    Args:
        settings: Validated.
        raw_keys: Keys of a development run by signer; their keystores are not looked at.
        live: Whether transactions will be signed.

    Raises:
        CredentialError: a keystore, its password or a raw key is missing or wrong.
    """
    addresses, signers = {}, {}
    for name in settings.signers:
        if live or name in raw_keys:
            signers[name] = _signer(settings, name, raw_keys.get(name))
            addresses[name] = signers[name].address
        else:
            addresses[name] = keystore_address(settings.signers[name].keystore)
    return Keys(addresses, signers if live else {})


def _signer(settings: Settings, name: str, raw_key: SecretStr | None) -> LocalSigner:
    if raw_key is not None:
        return raw_key_signer(raw_key.get_secret_value())
    signer = settings.signers[name]
    if signer.password is None:
        variable = f"KEEPER__SIGNERS__{name.upper()}__PASSWORD"
        raise CredentialError(f"signers.{name}.password", "is missing", f"set {variable} or {variable}_FILE")
    return unlock_keystore(signer.keystore, signer.password.get_secret_value())
