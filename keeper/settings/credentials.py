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
from typing import NamedTuple

from pydantic import SecretStr

from keeper.core.errors import ConfigError
from keeper.settings import values
from keeper.settings.model import ENV_PREFIX, Settings
from keeper.settings.notify import NotifySettings

LOCAL_CHAIN_IDS = (31337, 1337)
"""What anvil, hardhat, ganache and ``geth --dev`` answer: chains whose coins are worth nothing."""
SECRET_REMEDY = "name a file that holds the secret alone"  # noqa: S105 - what to do about one
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_HTTP_TOKEN = f"{ENV_PREFIX}HTTP__TOKEN"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NOTIFY_SECRETS = ("url", "routing_key")
_KEY = "key"
_KEY_LIKE = {_KEY, "private_key", "privatekey", "raw_key", "secret_key", "key_hex", "mnemonic", "seed", "seed_phrase"}


class Withheld(NamedTuple):
    """What a run needs of the configuration and the rest of it must not see: the token, webhooks with their URLs."""

    token: SecretStr | None
    notify: Mapping[str, NotifySettings]


def secret_in(path: Path) -> str:
    """Return what a file of its owner alone holds, without the line end that an editor adds.

    Raises:
        ValueError: it cannot be read, is not text, or others may use it; the message reads on after "the file".
    """
    return _read(path, guarded=False)


def credential(environ: Mapping[str, str], name: str) -> SecretStr | None:
    """Return a secret from the service manager's credentials (``main.password``), ``None`` where it gave none.

    Raises:
        ConfigError: the credential is there and cannot be read.
    """
    directory = environ.get(_CREDENTIALS)
    if not directory:
        return None
    path = Path(directory) / name
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


def http_token(settings: Settings) -> SecretStr | None:
    """Return the token of the HTTP server, ``None`` where this host alone can reach it and none is configured.

    Raises:
        ConfigError: others can reach it and none is configured.
    """
    http = settings.http
    if http.token is None and not http.listen.is_loopback:
        remedy = f"set {_HTTP_TOKEN}_FILE to a file that holds one, or listen on 127.0.0.1"
        raise ConfigError(f"http.listen {http.listen}", "others can reach it, and there is no http.token", remedy)
    return http.token


def withheld(settings: Settings) -> Withheld:
    """Return the secrets of a run beside its keys.

    Raises:
        ConfigError: one is missing, or is not of its kind.
    """
    for name, section in settings.notify.items():
        place, variable = f"notify.{name}", f"{ENV_PREFIX}NOTIFY__{name.upper()}"
        reason = ""
        try:
            _ = section.target and values.webhook(section.target.get_secret_value())  # a credential nobody looked at
        except ValueError as error:
            reason = str(error)
        if reason or section.target is None:
            raise ConfigError(
                f"{place}.url", reason or "is missing", f"set {variable}__URL_FILE to a file that holds it"
            )
        if (section.routing_key is None) is (section.format == "pagerduty"):
            pages = section.format == "pagerduty"
            remedy = f"set {variable}__ROUTING_KEY_FILE to a file that holds it" if pages else "leave it out"
            reason = "is missing; pagerduty needs it" if pages else f"is nothing that {section.format} has"
            raise ConfigError(f"{place}.routing_key", reason, remedy)
    return Withheld(http_token(settings), settings.notify)


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove every variable that holds a secret itself; nothing that is started later inherits it."""
    for name, _, key in tuple(_signer_variables(environ)):
        if key in (_KEY, "password"):
            del environ[name]
    for name, _, key in tuple(_named_variables(environ, "notify")):
        if key in _NOTIFY_SECRETS:
            del environ[name]
    for name in [each for each in environ if each.upper() == _HTTP_TOKEN]:
        del environ[name]


def _signer_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield variable, signer and key of every ``KEEPER__SIGNERS__<NAME>__<KEY>``."""
    return _named_variables(environ, "signers")


def _named_variables(environ: Mapping[str, str], of: str) -> Iterator[tuple[str, str, str]]:
    """Yield variable, name and key of every ``KEEPER__<OF>__<NAME>__<KEY>``."""
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            section, _, rest = name.removeprefix(ENV_PREFIX).lower().partition("__")
            owner, _, key = rest.partition("__")
            if section == of and key:
                yield name, owner, key


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
