"""Pseudonyms for what an operator does not show: nodes' URLs and hosts, names of providers and signers, paths.

The same word gets the same pseudonym wherever it stands, in records and in the engine's state, and signers keep their
order, so the engine meets the same past under other names and decides alike. Whether it does is not believed but
stepped (:mod:`keeper.journal.bundle`). Addresses stay: logs and signed transactions name them, and the chain is public.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import chain
from urllib.parse import urlsplit

from keeper.core.facts import (
    AttemptSent,
    BlockApplied,
    BlocksBackfilled,
    Fact,
    LogsRepaired,
    ProviderChanged,
    RangeVerified,
)
from keeper.core.runconfig import RunConfig

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>:;,.]", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w/.…>*+-])/[\w.~+-]+(?:/[\w.~+-]+)*")
_FILES = ("sqlite", "file", "memory")
_SEALED = "redacted"
_PATH_KEYS = ("keystore", "kill_switch_file")
_FIXED = {"password": "***", "token": "***", "secret": "***", "key": "***", "listen": "localhost:0"}
TLD = "invalid"
"""Of hosts that cannot exist (RFC 2606)."""


def provider_names(fact: Fact) -> Iterable[str]:
    """Return the names of providers that a fact holds."""
    match fact:
        case BlockApplied(source=source) | BlocksBackfilled(source=source):
            return (source,)
        case LogsRepaired(source=source, liar=liar):
            return (source, liar)
        case RangeVerified(providers=providers):
            return providers
        case AttemptSent(provider=provider) | ProviderChanged(provider=provider):
            return (provider,)
    return ()


class Pseudonyms:
    """What each word is called instead. Words are learnt first (:meth:`learn`), then replaced (:meth:`value`).

    Attributes:
        ids: Ids that follow from a name that is replaced: what each is called instead.
    """

    def __init__(self) -> None:
        self.ids: dict[bytes, bytes] = {}
        self._hosts: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._signers: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def counts(self) -> dict[str, int]:
        """Return how many words of each kind have a pseudonym."""
        return {
            "hosts": len(set(self._hosts.values())),
            "providers": len(self._names),
            "signers": len(self._signers),
            "paths": len(self._paths),
        }

    def words(self) -> list[str]:
        """Return every word that is replaced."""
        return [*self._hosts, *self._names, *self._signers, *self._paths]

    def learn(self, value: object) -> None:
        """Take notice of every URL and path in a value of plain types."""
        self._walk(value, lambda text: text)
        self._pattern = None

    def learn_providers(self, names: Iterable[str]) -> None:
        """Take notice of providers; a name that is a URL is known by its host."""
        for name in names:
            if name and "://" not in name and name not in self._names:
                self._names[name] = f"provider-name-{len(self._names) + 1}"
        self._pattern = None

    def learn_config(self, config: RunConfig | None) -> None:
        """Take notice of the signers of a run."""
        self._signers |= {signer.name for signer in config.signers} if config is not None else set()
        self._pattern = None

    def value(self, value: object) -> object:
        """Return a value of plain types with every learnt word replaced."""
        return self._walk(value, self._replaced)

    def _walk(self, value: object, words: Callable[[str], str]) -> object:
        match value:
            case str():
                return self._text(value, words)
            case bytes():
                return self.ids.get(value, value)
            case dict():
                return {self._key(name): self._walk(item, words) for name, item in value.items()}
            case list() | tuple():
                return [self._walk(item, words) for item in value]
        return value

    def _key(self, name: object) -> object:
        return self._signer(name) if isinstance(name, str) and name in self._signers else name

    def _text(self, text: str, words: Callable[[str], str]) -> str:
        if text.startswith("{") and text.endswith("}"):
            try:
                settings = json.loads(text)
            except ValueError:
                pass
            else:
                return json.dumps(self._settings(settings, "", words), separators=(",", ":"), ensure_ascii=False)
        return words(_PATH.sub(lambda found: self._path(found.group()), _URL.sub(self._url, text)))

    def _settings(self, value: object, key: str, words: Callable[[str], str]) -> object:
        """Replace in the settings' JSON, where a key says what a word is."""
        match value:
            case dict():
                return {str(self._key(name)): self._settings(item, str(name), words) for name, item in value.items()}
            case list():
                return [self._settings(item, key, words) for item in value]
            case str() if key in _PATH_KEYS or key.endswith("_file"):
                return self._path(value)
            case str() if key in _FIXED:
                return _FIXED[key]
            case str():
                return self._text(value, words)
        return value

    def _url(self, found: re.Match[str]) -> str:
        url = found.group()
        scheme = url.split("://", 1)[0]
        if scheme in _FILES:
            return f"{scheme}://{self._path(url.split('://', 1)[1])}"
        try:
            host = urlsplit(url).netloc.rpartition("@")[2]
        except ValueError:
            host = url
        return f"{scheme}://{self._host(host)}"

    def _host(self, host: str) -> str:
        if host.endswith(f".{TLD}"):
            return host
        if host not in self._hosts:
            self._hosts[host] = f"provider-{len(self._hosts) + 1}.{TLD}"
            self._hosts.setdefault(urlsplit(f"//{host}").hostname or host, self._hosts[host])
        return self._hosts[host]

    def _path(self, path: str) -> str:
        if path.startswith(f"/{_SEALED}/"):
            return path
        return self._paths.setdefault(path, f"/{_SEALED}/path-{len(self._paths) + 1}")

    def _signer(self, name: str) -> str:
        width = len(str(len(self._signers)))
        return f"signer_{sorted(self._signers).index(name) + 1:0{width}}"

    def _replaced(self, text: str) -> str:
        if self._pattern is None:
            words = sorted(chain(self._hosts, self._names, self._signers), key=len, reverse=True)
            self._pattern = re.compile(
                "|".join(rf"(?<![\w.-]){re.escape(word)}(?![\w-])" for word in words if word) or r"(?!)"
            )
        return self._pattern.sub(lambda found: self._word(found.group()), text)

    def _word(self, word: str) -> str:
        if word in self._signers:
            return self._signer(word)
        return self._names.get(word) or self._hosts[word]
