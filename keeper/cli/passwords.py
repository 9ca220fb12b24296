"""Where a password comes from: a file, what the daemon of a signer would use, or the keyboard; never an argument."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from keeper.core.errors import CredentialError
from keeper.settings.credentials import SECRET_REMEDY, credential, secret_in


def password_for(path: Path | None, signer: str | None, *, confirm: bool) -> str:
    """Return the password of a keystore.

    Args:
        path: A file that holds the password alone.
        signer: Whose ``KEEPER__SIGNERS__<NAME>__PASSWORD(_FILE)`` is read, or the service manager's credential.
        confirm: Ask twice, because nothing tells a typing error of a new password.

    Raises:
        CredentialError: none is given where nobody can be asked, or the two differ.
    """
    if path is not None:
        return read_secret(path)
    given = _from_environment(signer) if signer is not None else None
    if given is not None:
        return given
    return _asked(confirm=confirm)


def read_secret(path: Path) -> str:
    """Return what a file holds, without the line end that an editor adds.

    Raises:
        CredentialError: it cannot be read, or others can read it too.
    """
    try:
        return secret_in(path)
    except ValueError as error:
        raise CredentialError(f"file {path}", str(error), SECRET_REMEDY) from None


def ask_hidden(prompt: str, remedy: str) -> str:
    """Ask on the terminal without echo.

    Raises:
        CredentialError: there is no terminal, or nothing was typed.
    """
    if not sys.stdin.isatty():
        raise CredentialError(prompt.lower(), "is missing", remedy)
    typed = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    if not typed:
        raise CredentialError(prompt.lower(), "is empty", remedy)
    return typed


def _from_environment(signer: str) -> str | None:
    variable = f"KEEPER__SIGNERS__{signer.upper()}__PASSWORD"
    file = os.environ.get(f"{variable}_FILE")
    if file:
        return read_secret(Path(file))
    given = credential(os.environ, signer) if variable not in os.environ else SecretStr(os.environ[variable])
    return None if given is None else given.get_secret_value()


def _asked(*, confirm: bool) -> str:
    remedy = "give --password-file, or --signer NAME with KEEPER__SIGNERS__<NAME>__PASSWORD(_FILE) set"
    password = ask_hidden("Password", remedy)
    if confirm and ask_hidden("Password again", remedy) != password:
        raise CredentialError("password", "the two differ", "type it again")
    return password
