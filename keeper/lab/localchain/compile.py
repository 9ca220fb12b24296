"""Compile what is published as source only, and the lab's own contract, with a solc-js that npm installed.

No compiled output is committed. Within a process a contract is compiled once; what takes long is also kept in
``node_modules/.cache``, named by everything that went into it, where ``make clean`` finds it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from keeper.core.errors import ConfigError
from keeper.lab.localchain.artifacts import Artifact, LinkPlace
from keeper.lab.localchain.toolchain import find_node_executable

COMPILE_SECONDS_MAX = 180.0
_SCRIPT = """
const solc = require(process.argv[1]);
process.stdout.write(solc.compile(require('fs').readFileSync(0, 'utf8')));
"""


class _Bytecode(msgspec.Struct, rename="camel"):
    object: str
    link_references: dict[str, dict[str, list[LinkPlace]]] = {}


class _Evm(msgspec.Struct):
    bytecode: _Bytecode


class _Contract(msgspec.Struct):
    evm: _Evm
    abi: list[dict[str, object]] = []


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
    output = _compiled(file, _run_compiler(msgspec.json.encode(request), node_modules / "solc"))
    return "0x" + output.contracts[file][name].evm.bytecode.object


def compile_artifacts(
    sources: Mapping[str, str], wanted: Mapping[str, str], settings: Mapping[str, object], compiler: Path
) -> dict[str, Artifact]:
    """Return the artifacts of contracts by name, from the cache when these sources were compiled before.

    Args:
        sources: Text by name of the source, as imports name it.
        wanted: The source that each contract stands in.
        settings: The compiler's, without the selection of outputs.
        compiler: The folder of a solc-js.

    Raises:
        ConfigError: no compiler, no Node.js, or a source does not compile.
    """
    selection = {
        file: {name: ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"]} for name, file in wanted.items()
    }
    request = msgspec.json.encode(
        {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in sources.items()},
            "settings": {**settings, "outputSelection": selection},
        }
    )
    output = _compiled(compiler.name, _cached_run(request, compiler))
    return {
        name: Artifact(
            name,
            output.contracts[file][name].abi,
            "0x" + output.contracts[file][name].evm.bytecode.object,
            output.contracts[file][name].evm.bytecode.link_references,
        )
        for name, file in wanted.items()
    }


def _compiled(file: str, answer: bytes) -> _Output:
    output = msgspec.json.decode(answer, type=_Output)
    wrong = [complaint.message for complaint in output.errors if complaint.severity == "error"]
    if wrong:
        raise ConfigError(file, f"does not compile: {wrong[0]}")
    return output


def _cached_run(request: bytes, compiler: Path) -> bytes:
    """Run the compiler, or return what it said to this request before; a cache that cannot be written is none."""
    digest = hashlib.sha256(compiler.name.encode() + request).hexdigest()
    cache = compiler.parent / ".cache" / "margin-keeper" / f"{digest}.json"
    if cache.is_file():
        return cache.read_bytes()
    answer = _run_compiler(request, compiler)
    _compiled(compiler.name, answer)
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache.parent, delete=False) as file:
            file.write(answer)
        os.replace(file.name, cache)  # noqa: PTH105 - in one step, for the other processes that look
    return answer


def _run_compiler(request: bytes, compiler: Path) -> bytes:
    if not compiler.is_dir():
        raise ConfigError(compiler.name, f"is not installed in {compiler.parent}", "run `make setup`")
    answer = subprocess.run(  # noqa: S603 - our own script in a Node.js found by us
        [str(find_node_executable()), "-e", _SCRIPT, str(compiler)],
        input=request,
        capture_output=True,
        timeout=COMPILE_SECONDS_MAX,
        check=False,
    )
    if answer.returncode != 0:
        raise ConfigError(compiler.name, f"failed: {answer.stderr.decode(errors='replace')[-300:]}", "run `make setup`")
    return answer.stdout
