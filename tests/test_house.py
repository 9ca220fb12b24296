"""The house rules that no linter knows, each with its remedy in the message."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from keeper.settings import Listen, load_settings
from keeper.settings.keys import Key, every_key

ROOT = Path(__file__).resolve().parents[1]
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 400
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")
# Put together from parts, so that this file itself does not match.
MACHINE_PATH = re.compile(r"""(?<![\w.~}])/(?:""" + "tmp|work|root|farm" + r""")(?:[/"'\s`:,;)\]]|$)""")
REGISTRY = re.compile(
    "|".join(["index" + "-url", "find" + "-links", "registry" + r"\.npmjs", r"pypi\." + "org", "pythonhosted" + r"\."])
)
RESOLVED = re.compile(r'"re' + r'solved"\s*:')
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
LOCAL_NODE_PLATFORMS = ["darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64", "win32-amd64"]


@cache
def tracked() -> tuple[Path, ...]:
    """Return every text file that is or will be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    return tuple(ROOT / name for name in sorted(listed) if name and (ROOT / name).is_file())


def lines() -> Iterator[tuple[str, str]]:
    """Yield ``file:line`` and the line, for every line of text."""
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below these folders."""
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield ``file:line name`` and the node of every function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_functions_are_short() -> None:
    """A function fits on a screen."""
    long = [
        f"{place}: {(node.end_lineno or 0) - node.lineno + 1} lines; find the second thing it does and name it"
        for path in python_files("keeper", "strategies", "bench")
        for place, node in functions(path)
        if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]

    assert long == []


def test_files_are_short() -> None:
    """A file holds one thing."""
    long = [
        f"{path.relative_to(ROOT)}: {length} lines; it holds two things, give each its file"
        for path in python_files("keeper", "strategies", "bench")
        if (length := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
    ]

    assert long == []


def test_modules_are_named_for_what_they_hold() -> None:
    """No module is a drawer."""
    drawers = [
        f"{path.relative_to(ROOT)}: name it for what it holds"
        for path in python_files("keeper", "strategies", "bench", "tests")
        if SHAPELESS_NAMES & {path.stem, *path.relative_to(ROOT).parts}
    ]

    assert drawers == []


def test_nothing_is_unfinished() -> None:
    """What is left to do is an issue, not a comment."""
    assert [f"{place}: finish it or file it" for place, line in lines() if UNFINISHED.search(line)] == []


def test_no_machine_shows() -> None:
    """No file knows the machine it was written on."""
    found = [f"{place}: {line.strip()[:80]}" for place, line in lines() if MACHINE_PATH.search(line)]

    assert found == []


def test_no_registry_shows() -> None:
    """No file says where packages come from: that is the reader's own configuration."""
    found = [
        f"{place}: leave the address out"
        for place, line in lines()
        if REGISTRY.search(line) and not line.lstrip().startswith("--no-emit-")
    ]

    assert found == []


def test_package_lock_is_addressless() -> None:
    """The npm lock names versions and hashes, no addresses."""
    assert RESOLVED.findall((ROOT / "package-lock.json").read_text(encoding="utf-8")) == []


def test_package_lock_knows_every_platform() -> None:
    """``npm ci`` refuses a lock that lacks the local node of any platform, its own or not."""
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    version = packages["node_modules/@foundry-rs/anvil"]["version"]

    versions = {
        name: packages.get(f"node_modules/@foundry-rs/anvil-{name}", {}).get("version") for name in LOCAL_NODE_PLATFORMS
    }

    assert versions == dict.fromkeys(LOCAL_NODE_PLATFORMS, version)


@pytest.mark.parametrize("path", ["requirements.txt", "deploy/audit/requirements.txt"])
def test_requirements_are_hashed(path: str) -> None:
    """Every Python package is pinned to one version and to the hashes of its files."""
    lock = (ROOT / path).read_text(encoding="utf-8").splitlines()
    heads = [
        (line, after)
        for line, after in pairwise(lock)
        if line and not line.startswith((" ", "#")) and after is not None
    ]

    assert [line for line, after in heads if "==" not in line or "--hash=sha256:" not in after] == []


def test_tests_do_not_sleep() -> None:
    """A test waits for a condition, never for a while."""
    sleeps = [
        f"{path.relative_to(ROOT)}:{node.lineno}: wait for the condition, or give the code a clock that jumps"
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}
        if not (node.args and ast.unparse(node.args[0]) == "0")
    ]

    assert sleeps == []


def test_tests_state_their_truth() -> None:
    """The docstring of a test is the truth that it tests."""
    silent = [
        f"{place}: say in one sentence what is true"
        for path in python_files("tests")
        for place, node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert silent == []


def test_tests_do_not_mock() -> None:
    """A fake that behaves says more than a mock that was told."""
    mocks = [
        f"{path.relative_to(ROOT)}: write a fake beside the real thing"
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom | ast.Import)
        and any("mock" in name for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)])
    ]

    assert mocks == []


def test_broad_except_is_the_supervisors_alone() -> None:
    """Whatever is caught is named, or raised again; only the supervisor records everything, and stops."""
    broad = [
        f"{path.relative_to(ROOT)}:{node.lineno}: name what you expect"
        for path in python_files("keeper", "strategies")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and ast.unparse(node.body[-1]) != "raise"
        and path.relative_to(ROOT).parts[:2] not in {("keeper", "app"), ("keeper", "app.py")}
    ]

    assert broad == []


def test_links_lead_somewhere() -> None:
    """A link to a file of the project leads to a file of the project."""
    broken = [
        f"{page.relative_to(ROOT)}: {target} is not there"
        for page in tracked()
        if page.suffix == ".md"
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []


def written_default(key: Key) -> str:
    """Write a default as the configuration's README does."""
    if key.required or key.default is None:
        return "required" if key.required else "none"
    default = str(key.default) if isinstance(key.default, Listen | Decimal) else key.default
    return f"`{default}`" if isinstance(key.default, Decimal) else f"`{json.dumps(default)}`"


def test_every_key_is_documented() -> None:
    """``config/README.md`` has each key with its unit and default, in the order of the code, and why."""
    page = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    rows = [tuple(cell.strip() for cell in line.split(" | ")) for line in page.splitlines() if line.startswith("| `")]
    expected = [
        (f"| `{'.'.join(key.path).replace('*', 'NAME')}`", key.unit, written_default(key)) for key in every_key()
    ]

    assert [row[:3] for row in rows] == expected
    assert [row[0] for row in rows if len(row[3].rstrip("| ")) < len("Why not.")] == []


def test_the_example_loads() -> None:
    """The example configuration is valid, and sends nothing."""
    assert load_settings(ROOT / "config" / "keeper.toml", {}).mode == "dry-run"


@pytest.mark.slow
def test_signing_libraries_are_kept_in(tmp_path: Path) -> None:
    """An import of a signing library from any other module breaks the contract *signing*."""
    libraries = ["coincurve", "eth_account", "eth_keyfile", "eth_keys"]
    for package in ("keeper", "strategies"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "keeper" / "execution" / "lane.py").open("a") as module:
        module.write("".join(f"\nimport {library}" for library in libraries))
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    command += ["--config", str(ROOT / "pyproject.toml"), "--contract", "signing", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert [library for library in libraries if f"keeper.execution.lane -> {library}" not in done.stdout] == []
