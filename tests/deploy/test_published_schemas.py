"""The compose file and the manifests are what the projects that read them say such a file is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
OLDEST_KUBERNETES = "1.29"
"""The oldest release that the manifests are meant for; the newest is the newest of which the schemas are at hand."""
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((DEPLOY / "kubernetes" / "keeper.yaml").read_text(encoding="utf-8"))
)


def test_the_compose_file_is_one(tmp_path: Path) -> None:
    """The compose file obeys the schema of the Compose Specification; one with a service of a wrong type does not."""
    broken = tmp_path / "compose.yaml"
    broken.write_text("services: {keeper: {image: [keeper]}}\n", encoding="utf-8")

    assert _by_compose_specification(DEPLOY / "compose.yaml").returncode == 0
    assert _by_compose_specification(broken).returncode == 1


@pytest.mark.parametrize("release", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: str(manifest["kind"]))
def test_manifests_are_what_the_api_takes(manifest: dict[str, Any], release: str) -> None:
    """Every manifest obeys the API's schemas of the oldest and the newest release, without a key that they lack."""
    kubernetes_validate.validate(manifest, release, strict=True)

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest | {"no_such_key": 1}, release, strict=True)


def _by_compose_specification(path: Path) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(program, capture_output=True, check=False)
