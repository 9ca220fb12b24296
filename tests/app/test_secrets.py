"""What a live run does about its secrets before it does anything else, seen from inside real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from keeper.execution.keys import import_keystore

pytestmark = pytest.mark.slow

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
PASSWORD = "a long and rare password"
VARIABLE = "KEEPER__SIGNERS__MAIN__PASSWORD"
CONFIG = """
mode = "live"
[journal]
url = "memory://"
[http]
listen = "127.0.0.1:0"
[chains.local]
chain_id = {chain_id}
http = ["http://127.0.0.1:9"]
[signers.main]
keystore = "main.json"
[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x0000000000000000000000000000000000000001"
"""
RUN_THEN_LOOK = """
import ctypes, sys
from pathlib import Path
from keeper.cli.main import exit_code

code = exit_code()
limit = next(line for line in Path("/proc/self/limits").read_text().splitlines() if "core file" in line)
print(code, limit.split()[4:6], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
OPEN_THEN_SEARCH = """
import gc, os, sys
from hashlib import sha256
from pathlib import Path
from keeper.app.keys import opening_keys
from keeper.execution.signer import LocalSigner
from keeper.settings import forget_secrets, load_settings

wanted = set(sys.argv[2:])

def opened():
    settings = load_settings(Path(sys.argv[1]), os.environ)
    keys = opening_keys(settings, {}, live=True)
    keys.signers.result()
    forget_secrets(os.environ)
    return keys, settings if planted else settings.without_secrets()

def is_secret(value):
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    raw = value.encode(errors="surrogatepass") if isinstance(value, str) else bytes(value)
    return sha256(raw).hexdigest() in wanted

def found():
    gc.collect()
    seen, queue, hits = set(), gc.get_objects(), 0
    while queue:
        each = queue.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, (str, bytes, bytearray, int)):
            hits += is_secret(each)
        else:
            queue.extend(gc.get_referents(each))
    return hits

for planted in (False, True):
    keys, settings = opened()
    print(found(), end=" ")
    os.environ["KEEPER__SIGNERS__MAIN__PASSWORD_FILE"] = sys.argv[1] + ".password"
assert isinstance(keys.signers.result()["main"], LocalSigner)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A live configuration with a keystore; nobody listens where its node should be."""
    import_keystore(tmp_path / "main.json", KEY, PASSWORD, work_factor=2**4)
    path = tmp_path / "keeper.toml"
    path.write_text(CONFIG.format(chain_id=31337), encoding="utf-8")
    return path


def run(program: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_dumps_are_forbidden_before_keys_are_read(config: Path) -> None:
    """A live start that fails at its password has forbidden core dumps and the reading of its memory already."""
    done = run(RUN_THEN_LOOK, "run", "-c", config, "--live", **{VARIABLE: "wrong"})

    assert (done.stdout, "the password is wrong" in done.stderr) == ("2 ['0', '0'] 0\n", True)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_dry_run_may_be_dumped(config: Path) -> None:
    """A run that reads no key can be examined as any program."""
    done = run(RUN_THEN_LOOK, "run", "-c", config)

    assert done.stdout.endswith(" 1\n")


def test_no_object_holds_a_secret(config: Path) -> None:
    """After the keystores are open no Python object is the key or the password; the search finds what is planted."""
    password = config.with_name("keeper.toml.password")
    password.write_text(PASSWORD)
    password.chmod(0o600)
    key = bytes.fromhex(KEY)
    secrets = [key, KEY.encode(), b"0x" + KEY.encode(), str(int(KEY, 16)).encode(), PASSWORD.encode()]
    done = run(OPEN_THEN_SEARCH, config, *(sha256(each).hexdigest() for each in secrets), **{VARIABLE: PASSWORD})

    clean, planted = map(int, done.stdout.split())
    assert (clean, planted > 0) == (0, True)


def test_development_signs_with_a_raw_key(config: Path) -> None:
    """``--dev`` needs no keystore and goes on to the node, which is not there; without it the key is refused."""
    (config.parent / "main.json").unlink()
    with_dev = run(RUN_THEN_LOOK, "run", "-c", config, "--live", "--dev", KEEPER__SIGNERS__MAIN__KEY=KEY)
    without = run(RUN_THEN_LOOK, "run", "-c", config, "--live", KEEPER__SIGNERS__MAIN__KEY=KEY)

    assert (with_dev.stdout[:1], "http://127.0.0.1:9" in with_dev.stderr) == ("3", True)
    assert (without.stdout[:1], "a raw key in the environment" in without.stderr) == ("2", True)
    assert KEY not in with_dev.stderr + without.stderr
