"""``keeper doctor``: what it looks at, and what it says of nodes that lie."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from keeper.cli import doctor_host
from keeper.cli.doctor import examine
from keeper.cli.doctor_aave import BASE_UNIT
from keeper.cli.findings import Finding, Findings
from keeper.execution.keys import import_keystore
from keeper.settings import load_settings
from keeper.venues.aave_v3.reads import ASSET_PRICE, POOL_REVISION
from tests.cli import scripted_node
from tests.cli.history_file import write_history
from tests.cli.scripted_node import Refusal, ScriptedNode, hex_word
from tests.cli.test_verify import damage, upgrade_format
from tests.engine.test_replay import eventful

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
PASSWORD = "KEEPER__SIGNERS__MAIN__PASSWORD"
CONFIG = """\
mode = "{mode}"

[journal]
url = "sqlite://{folder}/journal.db"

[chains.local]
chain_id = {chain_id}
http = ["{http}"]
wrapped_native = "{root}"

[signers.main]
keystore = "main.json"

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "{root}"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"
"""


class Patient:
    """A configuration, and the node and the folder that it names."""

    def __init__(self, node: ScriptedNode, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.values = {"mode": "live", "chain_id": scripted_node.CHAIN_ID, "http": node.url, "root": scripted_node.ROOT}
        self.environment = {PASSWORD: "correct horse"}
        import_keystore(folder / "main.json", KEY, "correct horse", work_factor=2)

    @property
    def config(self) -> Path:
        """The configuration file, written anew."""
        path = self.folder / "keeper.toml"
        path.write_text(CONFIG.format(folder=self.folder, **self.values))
        return path

    async def examined(self) -> Findings:
        """Examine it."""
        findings = Findings(lambda _finding: None)
        await examine(load_settings(self.config, self.environment), findings)
        return findings

    async def failing(self) -> tuple[int, list[Finding]]:
        """Examine it, and return the exit code and what failed."""
        findings = await self.examined()
        return findings.exit_code, [finding for finding in findings.all if not finding.ok]

    async def doctor(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keeper.cli", "doctor", "-c", str(self.config), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@pytest_asyncio.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Patient]:
    """A configuration with which nothing is wrong."""
    async with scripted_node.scripted_node() as node:
        yield Patient(node, tmp_path)


def refused(code: int, message: str) -> Callable[..., Any]:
    """Return an answer that is an error object."""

    def answer(*_params: object) -> Any:  # noqa: ANN401 - it never returns
        raise Refusal(code, message)

    return answer


async def test_all_is_well(patient: Patient) -> None:
    """With a good node, market, keystore, journal and disk, every check passes."""
    findings = await patient.examined()

    assert [finding for finding in findings.all if not finding.ok] == []
    assert [finding.check.replace(patient.node.url, "URL") for finding in findings.all] == [
        "http",
        "signer main",
        "journal",
        "disk",
        "local URL",
        "local URL head",
        "local URL clock",
        "local URL finality",
        "local URL archive",
        "local URL getLogs",
        "venue aave",
        "venue aave version",
        "venue aave unit",
        "venue aave feeds",
        "local gas",
        "signer main on local",
    ]


async def test_an_unreachable_node_is_exit_code_3(patient: Patient) -> None:
    """Where nothing listens, the node is named with what to do, and nothing more is asked of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        patient.values["http"] = f"http://127.0.0.1:{free.getsockname()[1]}"
        code, [finding] = await patient.failing()

    assert (code, finding.check) == (3, f"local {patient.values['http']}")
    assert finding.remedy == "check that the node is up and the URL is right"


async def test_a_wrong_chain_is_exit_code_2(patient: Patient) -> None:
    """A node of another chain is a mistake in the configuration."""
    patient.values["chain_id"] = 1
    code, [finding] = await patient.failing()

    assert (code, finding.detail) == (2, "serves chain id 31337, expected 1")


async def test_an_address_without_code_is_exit_code_2(patient: Patient) -> None:
    """An address where there is no contract is a mistake in the configuration."""
    patient.node.answers["eth_getCode"] = lambda _address, _block: "0x"
    code, [finding] = await patient.failing()

    assert (code, finding.detail) == (2, f"{scripted_node.ROOT} has no code on chain local")


@pytest.mark.parametrize("answer", [lambda _call, _block: "0x", refused(3, "execution reverted")])
async def test_another_contract_is_exit_code_2(patient: Patient, answer: Callable[..., Any]) -> None:
    """A contract that is no PoolAddressesProvider is a mistake in the configuration."""
    patient.node.answers["eth_call"] = answer
    code, [finding] = await patient.failing()

    assert (code, finding.detail) == (2, f"{scripted_node.ROOT} does not answer getPool()")


async def test_an_unknown_version_does_not_hold(patient: Patient) -> None:
    """A pool of a revision without rules would make every account unknown."""
    patient.node.views[POOL_REVISION] = hex_word(77)
    code, [finding] = await patient.failing()

    assert (code, finding.check, finding.detail.startswith("the pool is of revision 77")) == (
        1,
        "venue aave version",
        True,
    )


async def test_a_market_that_does_not_count_in_usd_does_not_hold(patient: Patient) -> None:
    """Limits add up the figures of all venues, where ether for a unit would make a fortune of a crumb."""
    patient.node.views[BASE_UNIT] = hex_word(10**18)
    code, [finding] = await patient.failing()

    assert (code, finding.check) == (1, "venue aave unit")
    assert "units of 1000000000000000000" in finding.detail


async def test_a_silent_feed_does_not_hold(patient: Patient) -> None:
    """An asset without a price is named."""
    patient.node.views[ASSET_PRICE] = hex_word(0)
    code, [finding] = await patient.failing()

    assert (code, finding.check, scripted_node.ASSET in finding.detail) == (1, "venue aave feeds", True)


async def test_an_old_head_does_not_hold(patient: Patient) -> None:
    """A node whose head is older than the configuration allows is out of sync."""
    patient.node.age_seconds = 3600
    code, [finding] = await patient.failing()

    assert (code, finding.check) == (1, f"local {patient.node.url} head")


async def test_a_slow_clock_does_not_hold(patient: Patient) -> None:
    """A head in the future means that this machine's clock is behind."""
    patient.node.age_seconds = -60
    code, [finding] = await patient.failing()

    assert (code, finding.check, finding.remedy) == (
        1,
        f"local {patient.node.url} clock",
        "synchronise the clock (NTP)",
    )


@pytest.mark.parametrize(
    ("method", "check", "remedy"),
    [
        ("eth_getLogs", "getLogs", "lower range_blocks_max of the chain; ranges adapt, but slowly"),
        ("eth_getBalance", "archive", "the first start needs an archive node: put one first in http"),
    ],
)
async def test_a_limit_of_the_node_does_not_hold(patient: Patient, method: str, check: str, remedy: str) -> None:
    """What a node refuses is named with what can be changed."""
    patient.node.answers[method] = refused(-32000, "not on your plan")
    findings = await patient.examined()
    found = next(finding for finding in findings.all if finding.check == f"local {patient.node.url} {check}")

    assert (found.ok, "not on your plan" in found.detail, found.remedy) == (False, True, remedy)


async def test_no_final_block_does_not_hold(patient: Patient) -> None:
    """A chain without the finalized tag needs a depth."""
    honest = patient.node.answers["eth_getBlockByNumber"]
    patient.node.answers["eth_getBlockByNumber"] = lambda tag, full: honest(tag, full) if tag == "latest" else None
    code, [finding] = await patient.failing()

    assert (code, finding.detail) == (1, "there is no finalized block yet")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html><body>Too many requests</body></html>", "an HTML page, not JSON-RPC"),
        ('{"jsonrpc": "2.0", "id": 1, "res', "not JSON-RPC"),
        ('{"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "no access"}}', "error -32001: no access"),
    ],
)
async def test_a_node_that_answers_nonsense_is_exit_code_3(patient: Patient, body: str, reason: str) -> None:
    """HTML, truncated JSON and an error object are told apart; each is the node's failure."""
    patient.node.body = body
    code, [finding] = await patient.failing()

    assert (code, finding.detail.startswith(reason)) == (3, True)


async def test_a_missing_password_is_exit_code_2(patient: Patient) -> None:
    """A live configuration needs the password, and the message says where it goes."""
    patient.environment = {}
    code, [finding] = await patient.failing()

    assert (code, finding.check, finding.remedy) == (2, "signer main", f"set {PASSWORD} or {PASSWORD}_FILE")


async def test_a_dry_run_needs_no_password(patient: Patient) -> None:
    """Without signing the address is enough."""
    patient.environment = {}
    patient.values["mode"] = "dry-run"

    assert await patient.failing() == (0, [])


async def test_a_wrong_password_is_exit_code_2(patient: Patient) -> None:
    """A password that does not open the keystore is said so, and not repeated."""
    patient.environment = {PASSWORD: "wrong horse"}
    code, [finding] = await patient.failing()

    assert (code, finding.detail) == (2, "the password is wrong")


async def test_an_empty_purse_does_not_hold(patient: Patient) -> None:
    """A signer without money for gas is named with its address."""
    patient.node.answers["eth_getBalance"] = lambda _address, _block: "0x0"
    code, [finding] = await patient.failing()

    assert (code, finding.check, finding.remedy.startswith("send native coin to 0x")) == (
        1,
        "signer main on local",
        True,
    )


def history_in(folder: Path, chain_id: int = scripted_node.CHAIN_ID) -> Path:
    """Write a journal where the configuration expects it."""
    return write_history(folder / "journal.db", eventful().records, chain_ids=[chain_id]).path


async def journal_failure(patient: Patient, prepare: Callable[[Path], object]) -> tuple[int, str]:
    """Prepare the journal's folder, and return the exit code and why the journal's check failed."""
    await asyncio.to_thread(prepare, patient.folder)
    code, [finding] = await patient.failing()
    assert finding.check == "journal"
    return code, finding.detail


async def test_a_journal_of_another_chain_is_exit_code_4(patient: Patient) -> None:
    """A journal of another chain than the configuration's is refused before the run does."""
    found = await journal_failure(patient, lambda folder: history_in(folder, 1))

    assert found == (4, "holds chain 1, the configuration is of chain 31337")


async def test_a_newer_journal_is_exit_code_4(patient: Patient) -> None:
    """A journal of a newer format is refused before the run does."""
    code, detail = await journal_failure(patient, lambda folder: upgrade_format(history_in(folder)))

    assert (code, detail.startswith("has format 99")) == (4, True)


async def test_a_damaged_journal_is_exit_code_4(patient: Patient) -> None:
    """A journal whose end is not what was written is refused before the run does."""

    def prepare(folder: Path) -> None:
        path = history_in(folder)
        path.with_name("journal.db.mark").unlink()  # without its mark the whole journal is read
        damage(path)

    code, detail = await journal_failure(patient, prepare)

    assert (code, detail.endswith("is not what was written")) == (4, True)


async def test_a_missing_folder_is_exit_code_2(patient: Patient) -> None:
    """The journal's folder is the operator's to make."""
    patient.values["root"] = scripted_node.ROOT
    config = patient.config
    config.write_text(config.read_text().replace("journal.db", "none/journal.db"))
    findings = Findings(lambda _finding: None)
    await examine(load_settings(config, patient.environment), findings)

    assert (findings.exit_code, [one.remedy for one in findings.all if not one.ok]) == (2, ["create it"])


async def test_a_full_disk_does_not_hold(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less room than a journal needs to grow is said before the disk is full."""
    monkeypatch.setattr(doctor_host, "FREE_BYTES_MIN", 1 << 80)
    code, [finding] = await patient.failing()

    assert (code, finding.check, finding.remedy) == (1, "disk", "free at least 1 GiB")


@pytest.mark.slow
async def test_the_command_prints_a_line_each(patient: Patient) -> None:
    """Each check is one line with its verdict; the remedy stands beside a failure."""
    patient.node.age_seconds = 3600
    code, out, err = await patient.doctor()
    lines = out.splitlines()

    assert (code, err, [line[:4] for line in lines].count("FAIL")) == (1, "", 1)
    assert next(line for line in lines if line.startswith("FAIL")).endswith(
        "wait until the node is in sync, or use another"
    )


@pytest.mark.slow
async def test_the_command_has_one_document(patient: Patient) -> None:
    """``--json`` is one document with every check."""
    code, out, _ = await patient.doctor("--json")
    document = json.loads(out)

    assert (code, document["ok"], len(document["checks"])) == (0, True, 16)


@pytest.mark.slow
async def test_a_provider_key_is_never_shown(patient: Patient) -> None:
    """Neither a check nor an error shows more of a URL than its host."""
    patient.values["http"] = f"{patient.node.url}/v3/s3cr3tk3y"
    code, out, err = await patient.doctor()

    assert (code, "s3cr3tk3y" in out + err) == (3, False)


def test_the_gravest_failure_is_the_exit_code() -> None:
    """The exit code of no findings is 0, and configuration comes before everything else."""
    findings = Findings(lambda _finding: None)
    codes = [findings.exit_code]
    for code in (1, 3, 4, 2):
        findings.all.append(Finding("x", ok=False, detail="", remedy="", exit_code=code))
        codes.append(findings.exit_code)

    assert codes == [0, 1, 3, 4, 2]
