"""From a file and an environment to :class:`Settings`, or one line that says what to change.

An error names the file (or the environment variable), the key, the value, the reason and the remedy. A value is shown
only where it cannot be a secret: unknown keys and whole sections may be misplaced secrets, node URLs carry API keys.
The exception is raised outside of any ``except`` block: pydantic's own error holds every input and must not travel
along as its context.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from keeper.core.errors import ConfigError
from keeper.settings.credentials import SECRET_REMEDY, credential, raw_keys, secret_in
from keeper.settings.keys import key_at, names_at, nearest
from keeper.settings.model import ENV_PREFIX, ActingSettings, SellingSettings, Settings, VenueSettings
from keeper.settings.own import unfit_own
from keeper.settings.risk import RiskSettings

SHOWN_LENGTH_MAX = 60
"""Characters of a wrong value in a message."""
MISSING = "is missing"
UNKNOWN = "unknown key"
PRE_LIQUIDATION = "pre_liquidation"
"""The key of a venue that is such a contract, and the strategy for it."""
WANTED: Mapping[str, frozenset[str]] = {
    "aave_v3": frozenset(),
    "morpho_blue": frozenset({"market", "loan_usd"}),
    "perp_v2": frozenset({"contracts"}),
}
"""What a venue of each protocol needs beside its address; one that needs anything is folded from logs, prices read."""
NAMED_SECTIONS = ("chains", "signers", "venues", "notify")
"""Whose sections the operator names."""
_FILE_SUFFIX = "_FILE"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class _Problem(NamedTuple):
    """One thing that is wrong; ``shown`` is the value, where it may be shown."""

    path: tuple[str, ...]
    shown: str | None
    reason: str
    remedy: str


Named = Mapping[tuple[str, ...], tuple[str, Any]]
"""What stands above a file: path -> (what it was named by, value)."""


def load_settings(
    path: Path, environ: Mapping[str, str], *, dev: bool = False, changes: Named = MappingProxyType({})
) -> Settings:
    """Read and validate the configuration once.

    Relative paths in it (keystores, kill switch) are taken from the file's directory.

    Args:
        path: The TOML file.
        environ: The environment; only names that start with ``KEEPER__`` are looked at, and ``CREDENTIALS_DIRECTORY``.
        dev: Let raw keys of signers stand in the environment: they are read by ``development_keys``.
        changes: What to put in the place of keys of both, as :func:`keeper.settings.changes.asked` reads it.

    Raises:
        ConfigError: anything is wrong; the message is one line and never holds a secret.
    """
    variables = _variables(environ, raw_keys(environ), dev=dev)
    written = with_changes(_merge(_read_toml(path), _from_variables(variables)), changes)
    return _anchored(validated(written, str(path), {**variables, **changes}), path.parent, environ)


def validated(data: Mapping[str, Any], origin: str, named: Named) -> Settings:
    """Check what a configuration says.

    Args:
        data: As TOML has it.
        origin: What it was read from, for messages.
        named: What of it came from elsewhere.

    Raises:
        ConfigError: as :func:`load_settings`.
    """
    checked = _validate(dict(data))
    problems = checked if isinstance(checked, list) else [*_broken_references(checked)]
    problems += _unknown_sections(path for path in named if path[0] not in data)
    if isinstance(checked, list) or problems:
        problems.sort(key=lambda problem: problem.reason == MISSING)  # what is misspelt is missing too
        raise _error(origin, named, problems)
    return checked


def with_changes(data: Mapping[str, Any], changes: Named) -> dict[str, Any]:
    """Put values in the place of others, or beside them; sections with a name of the operator's must be there.

    Raises:
        ConfigError: there is no section of that name.
    """
    changed = dict(data)
    for path, (name, value) in changes.items():
        known = changed.get(path[0])
        if path[0] in NAMED_SECTIONS and len(path) > 1 and isinstance(known, Mapping) and path[1] not in known:
            choice = nearest(path[1], tuple(known), f"the {path[0]} are")
            raise ConfigError(f"{name}: {_dotted(path)}", f"there is no section [{_dotted(path[:2])}]", choice)
        above = value
        for part in reversed(path):
            above = {part: above}
        changed = _merge(changed, above)
    return changed


def _read_toml(path: Path) -> dict[str, Any]:
    reason = ""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        reason = error.strerror or "cannot be read"
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text (byte {error.start})"
    except tomllib.TOMLDecodeError as error:
        reason = f"is not valid TOML: {error}"
    except (ValueError, ArithmeticError):  # of int and Decimal, which tomllib lets through
        reason = "is not valid TOML: a number has too many digits"
    except RecursionError:
        reason = "is not valid TOML: nested too deep"
    raise ConfigError(str(path), reason, "see config/keeper.toml for an example, config/README.md for every key")


def _variables(
    environ: Mapping[str, str], keys: Mapping[str, str], *, dev: bool
) -> dict[tuple[str, ...], tuple[str, str]]:
    """Return path -> (name of the variable, value), secrets read from the files that were named instead."""
    if keys and not dev:
        remedy = "make a keystore with `keeper keys import`; only `keeper run --dev` takes it, on a local chain"
        raise ConfigError(next(iter(keys)), "a raw key in the environment is seen by many", remedy)
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in keys:
            continue
        path = _path_of(name)
        key = key_at(_path_of(name.removesuffix(_FILE_SUFFIX))) if name.endswith(_FILE_SUFFIX) else None
        is_file = key is not None and key.secret
        if is_file:
            path = _path_of(name.removesuffix(_FILE_SUFFIX))
        if path in found:
            raise ConfigError(name, f"is set beside {found[path][0]}", "set one of the two")
        found[path] = (name, _secret_in(name, environ[name]) if is_file else environ[name])
    return found


def _path_of(variable: str) -> tuple[str, ...]:
    return tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))


def _secret_in(variable: str, file: str) -> str:
    try:
        return secret_in(Path(file))
    except ValueError as error:
        reason = str(error)
    raise ConfigError(f"{variable} = {json.dumps(file)}", f"the file {reason}", SECRET_REMEDY)


class _Variables(EnvSettingsSource):
    """pydantic's reader of nested variables, over a given environment; text that is not JSON stays text."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:
        """Read JSON, or leave it to the key's own type to say what it expected."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _from_variables(variables: Mapping[tuple[str, ...], tuple[str, str]]) -> dict[str, Any]:
    source = _Variables(Settings)
    source.env_vars = {ENV_PREFIX.lower() + "__".join(path): value for path, (_, value) in variables.items()}
    return source()


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _validate(data: dict[str, Any]) -> Settings | list[_Problem]:
    try:
        return Settings(**data)
    except ValidationError as error:
        return [_problem(detail) for detail in error.errors(include_url=False)]


def _unknown_sections(paths: Iterable[tuple[str, ...]]) -> Iterator[_Problem]:
    for path in paths:
        if path[0] not in Settings.model_fields:
            yield _Problem(path, None, UNKNOWN, nearest(path[0], names_at(()), "the sections are"))


def _problem(detail: ErrorDetails) -> _Problem:
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return _unknown(path)
    if detail["type"] == "missing":
        return _Problem(path, None, MISSING, _how_to_write(path))
    key = key_at(path)
    shown = None if key is None or key.secret or "URL" in key.unit else _shown(detail["input"])
    return _Problem(path, shown, _reason(detail), _how_to_write(path))


def _unknown(path: tuple[str, ...]) -> _Problem:
    return _Problem(path, None, UNKNOWN, nearest(path[-1], names_at(path[:-1]), "the keys here are"))


def _reason(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "value_error":
            return str(detail["ctx"]["error"])
        case "literal_error":
            return f"must be {detail['ctx']['expected']}"
        case "string_type":
            return "must be a text"
        case "model_type" | "model_attributes_type" | "dict_type" | "mapping_type":
            return "must be a section"
    return detail["msg"]


def _how_to_write(path: tuple[str, ...]) -> str:
    key = key_at(path)
    if key is None:
        return f"write [{_dotted(path)}] and its keys, see config/README.md"
    return f"write for example {path[-1]} = {key.example} ({key.unit}: {key.description})"


def _shown(value: object) -> str:
    try:
        text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= SHOWN_LENGTH_MAX else f"{text[:SHOWN_LENGTH_MAX]}…"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in path)


def _broken_references(settings: Settings) -> Iterator[_Problem]:
    for section in ("chains", "venues"):
        if not getattr(settings, section):
            yield _Problem((section,), None, "there is none", _how_to_write((section, "NAME")))
    yield from _shared_chain_ids(settings)
    for name, chain in settings.chains.items():
        if chain.quorum > len(chain.http):
            reason = f"is more than the {len(chain.http)} URLs in http"
            yield _Problem(("chains", name, "quorum"), str(chain.quorum), reason, "add nodes, or lower it")
    for name, venue in settings.venues.items():
        yield from _reference(("venues", name, "chain"), venue.chain, "chains", settings.chains)
        yield from _unfitting(("venues", name), venue)
        if venue.risk is not None:
            yield from _unfit_risk(("venues", name, "risk"), venue.risk)
    yield from _mixed_bootstraps(settings)
    for name, strategy in settings.strategies.chosen.items():
        yield from _unfit_strategy(("strategies", name), strategy, settings)
    for unfit in unfit_own(settings):
        yield _Problem(*unfit)


def _unfit_strategy(path: tuple[str, ...], strategy: ActingSettings, settings: Settings) -> Iterator[_Problem]:
    early, selling = path[-1] == PRE_LIQUIDATION, isinstance(strategy, SellingSettings)
    for name in strategy.venues:
        yield from _reference((*path, "venues"), name, "venues", settings.venues)
        venue = settings.venues.get(name)
        if selling and venue is not None and early is (venue.pre_liquidation is None):
            reason = f"venues.{name} names {'no' if early else 'a'} {PRE_LIQUIDATION} contract"
            remedy = f"name it in venues.{name}" if early else f"put it into strategies.{PRE_LIQUIDATION}.venues"
            yield _Problem((*path, "venues"), _shown(name), reason, remedy)
    if (strategy.signer is None) is (not strategy.signers):
        reason = "give exactly one of signer and signers"
        yield _Problem((*path, "signer"), None, reason, _how_to_write((*path, "signer")))
    key = "signers" if strategy.signers else "signer"
    for signer_name in strategy.all_signers:
        yield from _reference((*path, key), signer_name, "signers", settings.signers)


def _shared_chain_ids(settings: Settings) -> Iterator[_Problem]:
    owners: dict[int, str] = {}
    for name, chain in settings.chains.items():
        owner = owners.setdefault(chain.chain_id, name)
        if owner != name:
            path = ("chains", name, "chain_id")
            yield _Problem(path, str(chain.chain_id), f"is chains.{owner} already", "give each chain one section")


def _unfitting(path: tuple[str, ...], venue: VenueSettings) -> Iterator[_Problem]:
    """Yield what a venue's protocol wants and does not have, or has and does not take."""
    wanted = WANTED[venue.protocol]
    if venue.pre_liquidation is not None and venue.protocol != "morpho_blue":
        yield _Problem((*path, PRE_LIQUIDATION), None, f"is nothing that {venue.protocol} has", "leave it out")
    for key, value in (("market", venue.market), ("loan_usd", venue.loan_usd), ("contracts", venue.contracts)):
        if key not in wanted and value is not None:
            yield _Problem((*path, key), None, f"is nothing that {venue.protocol} has", "leave it out")
        if key in wanted and value is None:
            reason = f"{MISSING}; {venue.protocol} needs it"
            yield _Problem((*path, key), None, reason, _how_to_write((*path, key)))
    if not wanted:
        return
    for key, chosen, only in (("prices", venue.prices, "read"), ("bootstrap", venue.bootstrap, "logs")):
        if chosen != only:
            reason = f"{venue.protocol} has no other way than {_shown(only)}"
            yield _Problem((*path, key), _shown(chosen), reason, f"write {key} = {_shown(only)}, or leave it out")


def _unfit_risk(path: tuple[str, ...], risk: RiskSettings) -> Iterator[_Problem]:
    """Yield what a model of volatility lacks, and a GARCH forecast that would never come down again."""
    for keys in (risk.garch, risk.regimes):
        given = [key for key, value in keys.items() if value is not None]
        for key, value in keys.items():
            if given and value is None:
                yield _Problem((*path, key), None, f"{MISSING}; {given[0]} needs it", _how_to_write((*path, key)))
    alpha, beta = risk.garch_alpha, risk.garch_beta
    if alpha is not None and beta is not None and alpha + beta >= 1:
        reason = f"adds up with garch_alpha to {alpha + beta}"
        yield _Problem((*path, "garch_beta"), str(beta), reason, "give two that add up to less than 1")


def _mixed_bootstraps(settings: Settings) -> Iterator[_Problem]:
    firsts: dict[str, str] = {}
    for name, venue in settings.venues.items():
        first = firsts.setdefault(venue.chain, name)
        if settings.venues[first].bootstrap != venue.bootstrap:
            reason = f'is "{settings.venues[first].bootstrap}" at venues.{first} of the same chain'
            yield _Problem(
                ("venues", name, "bootstrap"), _shown(venue.bootstrap), reason, "give all venues of a chain the same"
            )


def _reference(path: tuple[str, ...], name: str, section: str, known: Mapping[str, object]) -> Iterator[_Problem]:
    if name not in known:
        choice = nearest(name, tuple(known), f"the {section} are")
        yield _Problem(path, _shown(name), f"there is no section [{section}.{name}]", choice)


def _error(origin: str, named: Named, problems: list[_Problem]) -> ConfigError:
    first = problems[0]
    above = first.path if first.reason == UNKNOWN else None  # a key below one that nobody knows
    where = next(
        (name for at, (name, _) in named.items() if at == first.path[: len(at)] or above == at[: len(first.path)]),
        origin,
    )
    value = "" if first.shown is None else f" = {first.shown}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ConfigError(f"{where}: {_dotted(first.path)}{value}", first.reason, first.remedy + more)


def _anchored(settings: Settings, directory: Path, environ: Mapping[str, str]) -> Settings:
    """Take relative paths from the file's directory, and missing secrets from the service manager."""
    signers = {
        name: signer.model_copy(
            update={
                "keystore": directory / signer.keystore,
                "password": credential(environ, f"{name}.password") if signer.password is None else signer.password,
            }
        )
        for name, signer in settings.signers.items()
    }
    token = credential(environ, "http.token") if settings.http.token is None else settings.http.token
    http = settings.http.model_copy(update={"token": token})
    notify = {
        name: section.model_copy(
            update={
                key: credential(environ, f"notify.{name}.{key}")
                for key in ("url", "routing_key")
                if getattr(section, key) is None
            }
        )
        for name, section in settings.notify.items()
    }
    switch = settings.limits.kill_switch_file
    limits = settings.limits.model_copy(update={"kill_switch_file": switch and directory / switch})
    return settings.model_copy(update={"signers": signers, "limits": limits, "http": http, "notify": notify})
