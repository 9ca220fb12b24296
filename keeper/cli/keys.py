"""``keeper keys``: encrypted keystore files. No secret is ever an argument, an answer or a log line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json

app = typer.Typer(help="Encrypted keystore files.", no_args_is_help=True, rich_markup_mode=None)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The keystore file.")]
PasswordFileOption = Annotated[Path | None, typer.Option(help="A file that holds the password alone.")]
SignerOption = Annotated[
    str | None, typer.Option(help="Take the password from KEEPER__SIGNERS__<NAME>__PASSWORD(_FILE) of this signer.")
]


@app.command(epilog="Example: keeper keys new config/keys/main.json")
def new(
    file: FileArgument,
    *,
    password_file: PasswordFileOption = None,
    signer: SignerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new key and keep it in a new file."""
    from keeper.cli.passwords import password_for
    from keeper.execution.keys import create_keystore

    _tell(file, create_keystore(file, password_for(password_file, signer, confirm=True)), as_json=as_json)


@app.command("import", epilog="Example: keeper keys import config/keys/main.json --key-file key.txt")
def import_(
    file: FileArgument,
    *,
    key_file: Annotated[
        Path | None, typer.Option(help="A file that holds the private key in hexadecimal; else it is asked for.")
    ] = None,
    password_file: PasswordFileOption = None,
    signer: SignerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep an existing key in a new file."""
    from keeper.cli.passwords import ask_hidden, password_for, read_secret
    from keeper.execution.keys import import_keystore

    key = read_secret(key_file) if key_file is not None else ask_hidden("Private key", "give --key-file")
    _tell(file, import_keystore(file, key, password_for(password_file, signer, confirm=True)), as_json=as_json)


@app.command(epilog="Example: keeper keys show config/keys/main.json")
def show(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Print the address of a keystore; its password is not needed."""
    from keeper.execution.keys import keystore_address

    _tell(file, keystore_address(file), as_json=as_json)


def _tell(file: Path, address: bytes, *, as_json: bool) -> None:
    if as_json:
        emit_json({"keystore": str(file), "address": address})
    else:
        emit("0x" + address.hex())
