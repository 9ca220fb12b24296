"""Where secrets come from besides the environment: a file that holds one alone, or the service manager's credentials.

A file that others may read is no secret, so it is refused, as a keystore is. The one exception is the directory that
systemd makes for a service (``LoadCredential=``): the service manager guards it, and its modes are not the operator's.

A raw key in the environment is seen by every child, crash report and ``docker inspect``. It is refused, under its own
name and under those that other programs use, except by ``keeper run --dev`` on a local chain.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

from pydantic import SecretStr

from keeper.core.errors import ConfigError
from keeper.settings.model import ENV_PREFIX, Settings

LOCAL_CHAIN_IDS = (31337, 1337)
"""What anvil, hardhat, ganache and ``geth --dev`` answer: chains whose coins are worth nothing."""
SECRET_REMEDY = "name a file that holds the secret alone"  # noqa: S105 - what to do about one
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_KEY = "key"
_KEY_LIKE = {_KEY, "private_key", "privatekey", "raw_key", "secret_key", "key_hex", "mnemonic", "seed", "seed_phrase"}


def secret_in(path: Path) -> str:
    """Return what a file of its owner alone holds, without the line end that an editor adds.

    Raises:
        ValueError: it cannot be read, is not text, or others may use it; the message reads on after "the file".
    """
    return _read(path, guarded=False)


def credential(environ: Mapping[str, str], signer: str) -> SecretStr | None:
    """Return a signer's password from the service manager's credentials, ``None`` where it gave none.

    Raises:
        ConfigError: the credential is there and cannot be read.
    """
    directory = environ.get(_CREDENTIALS)
    if not directory:
        return None
    path = Path(directory) / f"{signer}.password"
    if not path.exists():
        return None
    try:
        text = _read(path, guarded=True)
    except ValueError as error:
        reason = str(error)
    else:
        return SecretStr(text)
    raise ConfigError(f"credential {path}", reason, "check LoadCredential= of the service")


def raw_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variable -> signer for every variable that would hold a signer's raw key.

    Raises:
        ConfigError: a variable is named as other programs name a key.
    """
    found = {}
    for name, signer, key in _signer_variables(environ):
        if key.removesuffix("_file") not in _KEY_LIKE:
            continue
        if key != _KEY:
            raise ConfigError(
                name, "a raw key has no place in the environment", "make a keystore: `keeper keys import`"
            )
        found[name] = signer
    return found


def development_keys(settings: Settings, environ: Mapping[str, str]) -> dict[str, SecretStr]:
    """Return the raw keys of the signers that have one, for ``keeper run --dev``.

    Raises:
        ConfigError: a chain is not a local one, or a key is of no signer.
    """
    for name, chain in settings.chains.items():
        if chain.chain_id not in LOCAL_CHAIN_IDS:
            local = " and ".join(map(str, LOCAL_CHAIN_IDS))
            reason = f"is {chain.chain_id}, and --dev is for the local chains {local}"
            raise ConfigError(f"chains.{name}.chain_id", reason, "leave --dev out, and use a keystore")
    keys = {}
    for variable, signer in raw_keys(environ).items():
        if signer not in settings.signers:
            raise ConfigError(variable, f"there is no section [signers.{signer}]", "write the section")
        keys[signer] = SecretStr(environ[variable])
    return keys


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove every variable that holds a secret itself; nothing that is started later inherits it."""
    for name, _, key in tuple(_signer_variables(environ)):
        if key in (_KEY, "password"):
            del environ[name]


def _signer_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield variable, signer and key of every ``KEEPER__SIGNERS__<NAME>__<KEY>``."""
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            section, _, rest = name.removeprefix(ENV_PREFIX).lower().partition("__")
            signer, _, key = rest.partition("__")
            if section == "signers" and key:
                yield name, signer, key


def _read(path: Path, *, guarded: bool) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if mode & _OTHERS and not guarded:
        raise ValueError(f"may be used by others (mode {mode & 0o777:o}; chmod 600 it)")
    return text.removesuffix("\n").removesuffix("\r")
