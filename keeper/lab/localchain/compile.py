"""Compile the lab's own contract when it is needed, with the solc-js that npm installed.

No compiled output is committed; within a process a contract is compiled once.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import msgspec

from keeper.core.errors import ConfigError
from keeper.lab.localchain.toolchain import find_node_executable

COMPILE_SECONDS_MAX = 60.0
_SCRIPT = """
const solc = require(process.argv[1]);
process.stdout.write(solc.compile(require('fs').readFileSync(0, 'utf8')));
"""


class _Bytecode(msgspec.Struct):
    object: str


class _Evm(msgspec.Struct):
    bytecode: _Bytecode


class _Contract(msgspec.Struct):
    evm: _Evm


class _Complaint(msgspec.Struct):
    severity: str
    message: str


class _Output(msgspec.Struct):
    contracts: dict[str, dict[str, _Contract]] = {}
    errors: list[_Complaint] = []


@lru_cache(maxsize=8)
def compile_contract(name: str, node_modules: Path) -> str:
    """Return the creation bytecode, 0x-hexadecimal, of ``contracts/{name}.sol``.

    Raises:
        ConfigError: no compiler, no Node.js, or the source does not compile.
    """
    file = f"{name}.sol"
    source = Path(__file__).with_name("contracts") / file
    request = {
        "language": "Solidity",
        "sources": {file: {"content": source.read_text()}},
        "settings": {
            "optimizer": {"enabled": True, "runs": 200},
            "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
        },
    }
    output = msgspec.json.decode(_run_compiler(msgspec.json.encode(request), node_modules), type=_Output)
    wrong = [complaint.message for complaint in output.errors if complaint.severity == "error"]
    if wrong:
        raise ConfigError(file, f"does not compile: {wrong[0]}")
    return "0x" + output.contracts[file][name].evm.bytecode.object


def _run_compiler(request: bytes, node_modules: Path) -> bytes:
    solc = node_modules / "solc"
    if not solc.is_dir():
        raise ConfigError("solc", f"is not installed in {node_modules}", "run `make setup`")
    answer = subprocess.run(  # noqa: S603 - our own script in a Node.js found by us
        [str(find_node_executable()), "-e", _SCRIPT, str(solc)],
        input=request,
        capture_output=True,
        timeout=COMPILE_SECONDS_MAX,
        check=False,
    )
    if answer.returncode != 0:
        raise ConfigError("solc", f"failed: {answer.stderr.decode(errors='replace')[-300:]}", "run `make setup`")
    return answer.stdout
