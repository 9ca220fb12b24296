"""Load the published Hardhat artifacts of a protocol's npm package and link their libraries.

Placeholders of unlinked libraries (``__$...$__``) are not hexadecimal, so a contract is linked before anything else
sees its bytecode. The artifact names each place by **byte** offset and length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from keeper.core.errors import ConfigError

CORE_PACKAGE = Path("@aave") / "core-v3"


class LinkPlace(msgspec.Struct, frozen=True):
    """Where a library's address stands in the bytecode: byte offset and length."""

    start: int
    length: int


class Artifact(msgspec.Struct, frozen=True, rename="camel"):
    """The parts of a Hardhat artifact that a deployment or a reader needs."""

    contract_name: str
    abi: list[dict[str, object]]
    bytecode: str
    link_references: dict[str, dict[str, list[LinkPlace]]]

    def linked(self, libraries: Mapping[str, str]) -> str:
        """Return the creation bytecode with each library's address in its places.

        Args:
            libraries: Address (0x, 20 bytes) by library name; names that are not referenced are ignored.

        Raises:
            ConfigError: a referenced library is missing.
        """
        code = self.bytecode.removeprefix("0x")
        for library, places in self._places().items():
            address = libraries.get(library)
            if address is None:
                raise ConfigError(self.contract_name, f"needs the library {library}, which is not deployed")
            for place in places:
                start, end = 2 * place.start, 2 * (place.start + place.length)
                code = code[:start] + address.removeprefix("0x").lower() + code[end:]
        return "0x" + code

    def _places(self) -> dict[str, list[LinkPlace]]:
        return {name: places for source in self.link_references.values() for name, places in source.items()}


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifacts of one npm package, found by contract name; by default Aave's."""

    node_modules: Path
    package: Path = CORE_PACKAGE

    def load(self, name: str) -> Artifact:
        """Return the artifact of a contract.

        Raises:
            ConfigError: the package is not installed or has no such contract.
        """
        path = _index(self.node_modules / self.package / "artifacts" / "contracts").get(name)
        if path is None:
            raise ConfigError(f"{self.package} {name}", f"no artifact in {self.node_modules}", "run `make setup`")
        return msgspec.json.decode(path.read_bytes(), type=Artifact)

    def abi(self, name: str) -> list[dict[str, object]]:
        """Return the interface of a contract, as a JSON value.

        Raises:
            ConfigError: the package is not installed or has no such contract.
        """
        return self.load(name).abi


@lru_cache(maxsize=8)
def _index(folder: Path) -> dict[str, Path]:
    """Map contract name to artifact file, by the name of the file."""
    return {path.stem: path for path in sorted(folder.rglob("*.json")) if not path.name.endswith(".dbg.json")}
