"""Secrets come from files of their owner alone, from the service manager, and from the environment only where said."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.errors import ConfigError
from keeper.settings import development_keys, forget_secrets, http_token, load_settings, withheld

CONFIG = """
[journal]
url = "memory://"
[chains.local]
chain_id = {chain_id}
http = ["http://127.0.0.1:8545"]
[signers.main]
keystore = "main.json"
[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x0000000000000000000000000000000000000001"
"""
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
PASSWORD = "KEEPER__SIGNERS__MAIN__PASSWORD"
RAW_KEY = "KEEPER__SIGNERS__MAIN__KEY"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of a local chain and one signer."""
    path = tmp_path / "keeper.toml"
    path.write_text(CONFIG.format(chain_id=31337), encoding="utf-8")
    return path


def password_of(config: Path, **environ: str) -> str | None:
    """Return the signer's password."""
    password = load_settings(config, environ).signers["main"].password
    return None if password is None else password.get_secret_value()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_password_file_of_others_is_refused(config: Path, mode: int) -> None:
    """A password that others may read or write is refused with what mends it, and is not shown."""
    file = config.with_name("password")
    file.write_text("hunter2")
    file.chmod(mode)

    with pytest.raises(ConfigError, match=rf"may be used by others \(mode {mode:o}; chmod 600 it\)") as caught:
        load_settings(config, {f"{PASSWORD}_FILE": str(file)})
    assert "hunter2" not in str(caught.value)


def test_a_credential_of_the_service_is_read(config: Path) -> None:
    """Where no password is configured, that of ``LoadCredential`` is taken, whatever modes the manager gave it."""
    credential = config.with_name("main.password")
    credential.write_text("from the manager\n")
    credential.chmod(0o444)

    assert password_of(config, CREDENTIALS_DIRECTORY=str(config.parent)) == "from the manager"


def test_what_is_configured_goes_before_a_credential(config: Path) -> None:
    """A password that was configured is not replaced."""
    config.with_name("main.password").write_text("from the manager")

    assert password_of(config, CREDENTIALS_DIRECTORY=str(config.parent), **{PASSWORD: "configured"}) == "configured"


@pytest.mark.parametrize("directory", ["", "nowhere"])
def test_no_credential_is_no_password(config: Path, directory: str) -> None:
    """A service without a credential for this signer has no password, which only a live run minds."""
    assert password_of(config, CREDENTIALS_DIRECTORY=str(config.with_name(directory)) if directory else "") is None


def test_a_credential_that_cannot_be_read_is_named(config: Path) -> None:
    """A credential that is there and unreadable is an error, not a missing password."""
    config.with_name("main.password").write_bytes(b"\xff")

    with pytest.raises(ConfigError, match=r"credential \S+main\.password: is not UTF-8 text; check LoadCredential="):
        load_settings(config, {"CREDENTIALS_DIRECTORY": str(config.parent)})


def test_a_raw_key_is_refused(config: Path) -> None:
    """A raw key in the environment is refused with the way out, by every command, and is not shown."""
    with pytest.raises(ConfigError, match=rf"^{RAW_KEY}: a raw key .*`keeper keys import`.*--dev") as caught:
        load_settings(config, {RAW_KEY: KEY})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["PRIVATE_KEY", "KEY_HEX", "MNEMONIC", "KEY_FILE", "SECRET_KEY", "SEED_PHRASE_FILE"])
@pytest.mark.parametrize("dev", [False, True])
def test_what_looks_like_a_raw_key_is_refused(config: Path, name: str, *, dev: bool) -> None:
    """A key under the name that another program uses is told to be one, also in development."""
    with pytest.raises(ConfigError, match="a raw key has no place in the environment") as caught:
        load_settings(config, {f"KEEPER__SIGNERS__MAIN__{name}": KEY}, dev=dev)
    assert KEY not in str(caught.value)


def test_a_raw_key_in_the_file_is_refused(config: Path) -> None:
    """The configuration file has no place for a raw key, and the refusal does not show it."""
    config.write_text(config.read_text().replace("keystore =", f'key = "{KEY}"\nkeystore ='))

    with pytest.raises(ConfigError, match="unknown key") as caught:
        load_settings(config, {}, dev=True)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("chain_id", [31337, 1337])
def test_development_takes_a_raw_key_on_a_local_chain(config: Path, chain_id: int) -> None:
    """With ``--dev`` a signer of a local chain has the key of its variable; it prints as nothing."""
    config.write_text(CONFIG.format(chain_id=chain_id))
    environ = {RAW_KEY: KEY}
    keys = development_keys(load_settings(config, environ, dev=True), environ)

    assert {name: key.get_secret_value() for name, key in keys.items()} == {"main": KEY}
    assert KEY not in repr(keys)


def test_development_is_not_for_real_chains(config: Path) -> None:
    """With ``--dev`` a chain whose coins are worth something is refused."""
    config.write_text(CONFIG.format(chain_id=1))

    with pytest.raises(ConfigError, match=r"chains\.local\.chain_id: is 1, and --dev is for the local chains 31337"):
        development_keys(load_settings(config, {}, dev=True), {})


def test_a_raw_key_of_nobody_is_refused(config: Path) -> None:
    """A raw key whose signer has no section is a mistake that is told."""
    environ = {"KEEPER__SIGNERS__OTHER__KEY": KEY}

    with pytest.raises(ConfigError, match=r"KEEPER__SIGNERS__OTHER__KEY: there is no section \[signers\.other\]"):
        development_keys(load_settings(config, environ, dev=True), environ)


def test_secrets_are_forgotten(config: Path) -> None:
    """Once keystores are open, neither settings nor environment hold a secret; the names of files stay."""
    environ = {PASSWORD: "hunter2", RAW_KEY: KEY, "KEEPER__SIGNERS__OTHER__PASSWORD_FILE": "x", "HOME": "y"}
    settings = load_settings(config, {PASSWORD: "hunter2"}).without_secrets()
    forget_secrets(environ)

    assert settings.signers["main"].password is None
    assert environ == {"KEEPER__SIGNERS__OTHER__PASSWORD_FILE": "x", "HOME": "y"}


def test_the_token_of_the_server_is_a_secret_too(config: Path) -> None:
    """It comes from a credential of the service, is forgotten like a password, and shows nowhere."""
    config.with_name("http.token").write_text("a token of the manager".replace(" ", "-"))
    environ = {"CREDENTIALS_DIRECTORY": str(config.parent)}
    settings = load_settings(config, environ)
    variables = {"KEEPER__HTTP__TOKEN": "x" * 16, "KEEPER__HTTP__TOKEN_FILE": "named"}
    forget_secrets(variables)

    token = http_token(settings)
    assert token is not None
    assert token.get_secret_value() == "a-token-of-the-manager"
    assert "a-token" not in repr(settings) + str(settings.redacted())
    assert settings.without_secrets().http.token is None
    assert variables == {"KEEPER__HTTP__TOKEN_FILE": "named"}


FORMAT = "KEEPER__NOTIFY__OPS__FORMAT"
URL = "KEEPER__NOTIFY__OPS__URL"
ROUTING_KEY = "KEEPER__NOTIFY__OPS__ROUTING_KEY"
HOOK = "https://hooks.example/services/hunter2"


def test_a_webhook_is_a_secret(config: Path) -> None:
    """Its URL comes from a variable, a file or a credential, is forgotten, and shows nowhere."""
    hidden = config.with_name("hook")
    hidden.write_text(HOOK + "\n")
    hidden.chmod(0o600)
    config.with_name("notify.ops.url").write_text(HOOK)
    for environ in ({URL: HOOK}, {f"{URL}_FILE": str(hidden)}, {"CREDENTIALS_DIRECTORY": str(config.parent)}):
        settings = load_settings(config, {FORMAT: "slack", **environ})
        target = withheld(settings).notify["ops"].target
        assert target is not None
        assert target.get_secret_value() == HOOK
        assert "hunter2" not in repr(settings) + str(settings.redacted()) + repr(withheld(settings))
        assert settings.without_secrets().notify["ops"].target is None
    variables = {URL: HOOK, ROUTING_KEY: "k", f"{URL}_FILE": "named"}
    forget_secrets(variables)
    assert variables == {f"{URL}_FILE": "named"}


def test_pagerduty_needs_only_its_key(config: Path) -> None:
    """Its place is known."""
    environ = {FORMAT: "pagerduty", ROUTING_KEY: "R" * 32}
    target = withheld(load_settings(config, environ)).notify["ops"].target

    assert target is not None
    assert target.get_secret_value() == "https://events.pagerduty.com/v2/enqueue"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (
            {FORMAT: "slack"},
            f"notify.ops.url: is missing; set {URL}_FILE to a file that holds it",
        ),
        (
            {FORMAT: "pagerduty"},
            f"notify.ops.routing_key: is missing; pagerduty needs it; set {ROUTING_KEY}_FILE to a file that holds it",
        ),
        (
            {FORMAT: "generic", URL: HOOK, ROUTING_KEY: "hunter2"},
            "notify.ops.routing_key: is nothing that generic has; leave it out",
        ),
    ],
)
def test_a_webhook_that_lacks_something_is_refused(config: Path, environ: dict[str, str], told: str) -> None:
    """A run does not begin with a webhook that could tell nobody."""
    with pytest.raises(ConfigError) as caught:
        withheld(load_settings(config, environ))
    assert str(caught.value) == told


def test_a_wrong_webhook_is_not_shown(config: Path) -> None:
    """What is no URL may still be a secret, wherever it came from."""
    with pytest.raises(ConfigError, match=r"notify.ops.url: must be a URL that starts with https:// or http://") as one:
        load_settings(config, {FORMAT: "slack", URL: "hunter2"})
    config.with_name("notify.ops.url").write_text("hunter2")
    environ = {"CREDENTIALS_DIRECTORY": str(config.parent), FORMAT: "slack"}
    with pytest.raises(ConfigError, match=r"notify.ops.url: must be a URL that starts with https:// or http://") as two:
        withheld(load_settings(config, environ))
    assert "hunter2" not in f"{one.value}{two.value}"
