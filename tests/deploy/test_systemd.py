"""The unit, asked of systemd itself and compared with what the keeper reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from keeper.app.stall import EXIT_SECONDS
from keeper.core.errors import ConfigError, JournalDamaged, UsageError
from keeper.settings import load_settings
from keeper.settings.credentials import credential

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "margin-keeper.service"
EXPOSURE_MAX = 15
"""Of 100, as `systemd-analyze security` counts; what is left is that a keeper needs a network and a user."""


def asked(*arguments: str) -> tuple[int, str]:
    """Return what systemd-analyze answers: exit code and text."""
    command = ["systemd-analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def values(key: str) -> list[str]:
    """Return what the unit sets a key to, in order."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.partition("=")[0] == key]


def verified(folder: Path, text: str) -> tuple[int, str]:
    """Return what systemd says about a unit, with a program in it that every machine has."""
    unit = folder / UNIT.name
    unit.write_text(text.replace(values("ExecStart")[0].split()[0], "/bin/true"), encoding="utf-8")
    return asked("verify", "--man=no", str(unit))


@pytest.mark.slow
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """Systemd reads the unit without a complaint."""
    assert verified(tmp_path, UNIT.read_text(encoding="utf-8")) == (0, "")


@pytest.mark.slow
def test_systemd_would_find_something_wrong(tmp_path: Path) -> None:
    """A misspelt key of the unit would be told."""
    text = UNIT.read_text(encoding="utf-8").replace("NoNewPrivileges=", "NoNewPrivilege=")

    assert "'NoNewPrivilege'" in verified(tmp_path, text)[1]


@pytest.mark.slow
def test_the_unit_is_hardened() -> None:
    """The exposure that systemd counts stays under the bound."""
    code, said = asked("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE_MAX}", str(UNIT))

    assert code == 0, said[-200:]


def test_a_person_looks_where_a_restart_does_not_help() -> None:
    """The codes of a wrong configuration, wrong usage and a damaged journal end the service."""
    ends = {str(kind.exit_code) for kind in (ConfigError, UsageError, JournalDamaged)}

    assert (values("Restart"), set(values("RestartPreventExitStatus")[0].split())) == (["on-failure"], ends)


def test_the_daemon_ends_itself_before_the_manager_does() -> None:
    """The manager's watchdog waits longer than the daemon's own guard of its loop."""
    assert (values("Type"), int(values("WatchdogSec")[0].removesuffix("s")) > EXIT_SECONDS) == (["notify"], True)


def test_the_password_is_where_the_keeper_looks(tmp_path: Path) -> None:
    """The credential has the name that the keeper reads for the signer of the example."""
    name, _, _ = values("LoadCredential")[0].partition(":")
    (tmp_path / name).write_text("secret\n", encoding="utf-8")
    signers = load_settings(ROOT / "config" / "keeper.toml", {}).signers
    found = [credential({"CREDENTIALS_DIRECTORY": str(tmp_path)}, f"{signer}.password") for signer in signers]

    assert [each.get_secret_value() for each in found if each is not None] == ["secret"]


def test_the_example_writes_where_the_unit_lets_it() -> None:
    """The journal and the kill switch of the example lie in the directories that the unit makes."""
    settings = load_settings(ROOT / "config" / "keeper.toml", {})
    state, runtime = values("StateDirectory")[0], values("RuntimeDirectory")[0]

    assert settings.journal.url.startswith(f"sqlite:///var/lib/{state}/")
    assert settings.limits.kill_switch_file == Path("/run", runtime, "STOP")
