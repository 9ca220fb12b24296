"""``keeper doctor`` and the operator's own accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.cli.doctor_own import examine_own
from keeper.cli.findings import Finding, Findings
from keeper.execution.keys import import_keystore
from keeper.settings import load_settings
from tests.app.test_own_accounts import PERP
from tests.cli.test_doctor import CONFIG, KEY

OWN = "0x" + "11" * 20
SECTION = """
[strategies.self_protect]
venues = ["aave"]
signer = "main"
"""


def examined(folder: Path, lines: str, *, keystore: bool = True, venues: str = '["aave"]') -> list[Finding]:
    """Return what is found with these lines, where liquidations are at these venues."""
    if keystore and not (folder / "main.json").exists():
        import_keystore(folder / "main.json", KEY, "correct horse", work_factor=2)
    path = folder / "keeper.toml"
    text = CONFIG.format(folder=folder, mode="live", chain_id=1, http="http://127.0.0.1:1", root="0x" + "ab" * 20)
    path.write_text(text.replace('venues = ["aave"]', f"venues = {venues}") + lines)
    findings = Findings(lambda _finding: None)
    examine_own(load_settings(path, {"KEEPER__SIGNERS__MAIN__PASSWORD": "correct horse"}), findings)
    return findings.all


def test_nothing_is_said_where_nothing_is_protected(tmp_path: Path) -> None:
    """Without the section there is no check."""
    assert examined(tmp_path, "") == []


@pytest.mark.parametrize("keystore", [True, False])
def test_it_says_whose_accounts_and_how(tmp_path: Path, keystore: bool) -> None:  # noqa: FBT001 - a table
    """The signers' own are named where the keystore can be read."""
    (found,) = examined(tmp_path, SECTION, keystore=keystore)
    whose = "0x" if keystore else "the accounts of its signers"
    assert found.ok
    assert found.detail.startswith(whose)
    assert found.detail.endswith(": below 1.15 brought to 1.3 by repay, top-up")


def test_reduce_of_an_account_that_is_no_signers_is_told(tmp_path: Path) -> None:
    """Only the account itself can pay its debt with its collateral."""
    lines = f'{SECTION}accounts = ["{OWN}"]\n'
    (found,) = examined(tmp_path, f'{lines}actions = ["reduce"]\n')
    assert (found.ok, found.exit_code) == (False, 1)
    assert found.detail == f'{OWN} is no signer\'s, and "reduce" is for the account itself'
    (fine,) = examined(tmp_path, lines, keystore=False)
    assert fine.ok


def test_a_hedge_beside_liquidations_of_the_same_signer_is_told(tmp_path: Path) -> None:
    """Whoever liquidates at the exchange leaves every position it has there."""
    hedge = f"""
[strategies.delta_hedge]
venues = ["aave"]
signer = "main"
hedge_venue = "perp"
exposures = {{ {OWN} = "{OWN}" }}
"""
    section = PERP[: PERP.index("[strategies.delta_hedge]")]
    (fine,) = examined(tmp_path, section + hedge)
    assert fine.ok
    assert fine.detail == f"{OWN} beyond 1000 USD at perp, proposed and not sent"
    (found,) = examined(tmp_path, section + hedge, venues='["aave", "perp"]')
    assert (found.ok, "signer main liquidates at perp too" in found.detail) == (False, True)
