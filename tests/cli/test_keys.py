"""``keeper keys``: files are made, secrets are not shown."""

from __future__ import annotations

import getpass
import io
import sys
from pathlib import Path

import pytest

from keeper.execution import keys
from keeper.execution.keys import keystore_address, unlock_keystore
from tests.cli.conftest import Keeper

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23"


class Keyboard(io.StringIO):
    """A stdin at which somebody sits."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a password; keystores of these tests are quick to open."""
    monkeypatch.setattr(keys.create_keystore, "__kwdefaults__", {"work_factor": 2})
    monkeypatch.setattr(keys.import_keystore, "__kwdefaults__", {"work_factor": 2})
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a private key."""
    path = tmp_path / "key"
    path.write_text(f"0x{KEY}\n")
    path.chmod(0o600)
    return path


def test_a_new_key_opens_with_its_password(keeper: Keeper, secret: Path, tmp_path: Path) -> None:
    """A new keystore opens with the password in the file, and its address is printed."""
    file = tmp_path / "main.json"
    outcome = keeper("keys", "new", file, "--password-file", secret)
    signer = unlock_keystore(file, "correct horse")

    assert (outcome.code, outcome.out) == (0, f"0x{signer.address.hex()}\n")


def test_a_key_can_be_brought(keeper: Keeper, secret: Path, key_file: Path, tmp_path: Path) -> None:
    """An imported key has its own address."""
    file = tmp_path / "main.json"
    outcome = keeper("keys", "import", file, "--key-file", key_file, "--password-file", secret, "--json")

    assert (outcome.code, outcome.document) == (0, {"keystore": str(file), "address": ADDRESS})


def test_the_address_needs_no_password(keeper: Keeper, secret: Path, key_file: Path, tmp_path: Path) -> None:
    """``show`` prints the address that the file names."""
    file = tmp_path / "main.json"
    keeper("keys", "import", file, "--key-file", key_file, "--password-file", secret)

    assert keeper("keys", "show", file).out == f"{ADDRESS}\n"


def test_the_environment_of_a_signer_is_read(
    keeper: Keeper, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``--signer`` the password is the one that the daemon would use, from the variable or from its file."""
    monkeypatch.setenv("KEEPER__SIGNERS__MAIN__PASSWORD", "from the variable")
    keeper("keys", "new", tmp_path / "one.json", "--signer", "main")
    monkeypatch.setenv("KEEPER__SIGNERS__MAIN__PASSWORD_FILE", str(secret))
    keeper("keys", "new", tmp_path / "two.json", "--signer", "main")

    signers = [
        unlock_keystore(tmp_path / "one.json", "from the variable"),
        unlock_keystore(tmp_path / "two.json", "correct horse"),
    ]

    assert [signer.address for signer in signers] == [
        keystore_address(tmp_path / name) for name in ("one.json", "two.json")
    ]


def test_no_password_is_exit_code_2(keeper: Keeper, tmp_path: Path) -> None:
    """Where nobody can be asked, a missing password is said in one line, and no file is made."""
    outcome = keeper("keys", "new", tmp_path / "main.json")

    assert (outcome.code, outcome.err.startswith("keeper: password: is missing; ")) == (2, True)
    assert not (tmp_path / "main.json").exists()


@pytest.mark.parametrize(("typed", "code"), [(["one", "one"], 0), (["one", "two"], 2), ([""], 2)])
def test_a_new_password_is_typed_twice(
    keeper: Keeper, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], code: int
) -> None:
    """At a terminal a new password is asked for twice, hidden; when the two differ no key is made."""
    answers = iter(typed)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt, **_options: next(answers))
    with monkeypatch.context() as terminal:
        terminal.setattr(sys, "stdin", Keyboard())
        outcome = keeper("keys", "new", tmp_path / "main.json")

    assert (outcome.code, (tmp_path / "main.json").exists()) == (code, code == 0)


def test_a_keystore_is_never_replaced(keeper: Keeper, secret: Path, tmp_path: Path) -> None:
    """A second key does not go over the first."""
    file = tmp_path / "main.json"
    keeper("keys", "new", file, "--password-file", secret)
    before = file.read_bytes()
    outcome = keeper("keys", "new", file, "--password-file", secret)

    assert (outcome.code, file.read_bytes()) == (2, before)


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_password_is_refused(keeper: Keeper, secret: Path, tmp_path: Path, content: str) -> None:
    """A file without a password is none."""
    secret.write_text(content)
    outcome = keeper("keys", "new", tmp_path / "main.json", "--password-file", secret)

    assert (outcome.code, "is empty" in outcome.err) == (2, True)


def test_a_wrong_key_is_not_repeated(keeper: Keeper, secret: Path, key_file: Path, tmp_path: Path) -> None:
    """What is not a key is refused, and does not appear in the message."""
    key_file.write_text(KEY + "ff")
    outcome = keeper("keys", "import", tmp_path / "main.json", "--key-file", key_file, "--password-file", secret)

    assert (outcome.code, KEY[:16] in outcome.out + outcome.err) == (2, False)


def test_secrets_are_never_printed(keeper: Keeper, secret: Path, key_file: Path, tmp_path: Path) -> None:
    """Neither key nor password appears in any output."""
    file = tmp_path / "main.json"
    outcome = keeper("keys", "import", file, "--key-file", key_file, "--password-file", secret)

    assert [one for one in (KEY, "correct horse") if one in outcome.out + outcome.err] == []


def test_a_missing_keystore_is_exit_code_2(keeper: Keeper, tmp_path: Path) -> None:
    """A file that is not there is said so, with how to make one."""
    outcome = keeper("keys", "show", tmp_path / "none.json")

    assert (outcome.code, outcome.err.strip().endswith(f"create it with `keeper keys new {tmp_path}/none.json`")) == (
        2,
        True,
    )
