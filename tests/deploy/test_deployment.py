"""Images and manifests: what they install, who they run as, and that keeper and manifests speak of the same places."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from keeper.observe.access import OPEN_PATHS
from keeper.settings.model import HttpSettings
from tests.deploy.runtime_lock import closure, keeper_needs, locked

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PORT = HttpSettings().listen.port
USER = "10001"
Document = dict[str, Any]

SERVICE = {
    "type": "object",
    "required": ["image", "user", "read_only", "cap_drop", "security_opt"],
    "properties": {
        "user": {"pattern": r"^[1-9][0-9]*:[1-9][0-9]*$"},
        "read_only": {"const": True},
        "cap_drop": {"const": ["ALL"]},
        "security_opt": {"contains": {"const": "no-new-privileges:true"}},
        "privileged": False,
    },
}
COMPOSE = {
    "type": "object",
    "required": ["services", "volumes", "secrets"],
    "properties": {
        "services": {
            "type": "object",
            "additionalProperties": SERVICE,
            "required": ["keeper", "prometheus", "alertmanager", "grafana", "node"],
        }
    },
}
CONTAINER = {
    "type": "object",
    "required": ["name", "image", "securityContext", "volumeMounts"],
    "properties": {
        "securityContext": {
            "const": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        }
    },
}
POD = {
    "type": "object",
    "required": ["securityContext", "containers", "automountServiceAccountToken"],
    "properties": {
        "automountServiceAccountToken": {"const": False},
        "securityContext": {
            "required": ["runAsNonRoot", "runAsUser", "seccompProfile"],
            "properties": {"runAsNonRoot": {"const": True}, "runAsUser": {"const": int(USER)}},
        },
        "containers": {"type": "array", "items": CONTAINER},
        "initContainers": {"type": "array", "items": CONTAINER},
    },
}


def manifests() -> dict[str, Document]:
    """Return the Kubernetes objects by kind; there is one of each."""
    paths = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return {each["kind"]: each for path in paths for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))}


def compose() -> Document:
    """Return the compose file."""
    document: Document = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return document


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, with what follows each."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def pod() -> Document:
    """Return the pod of the StatefulSet."""
    spec: Document = manifests()["StatefulSet"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize(("file", "needs"), [("runtime", keeper_needs()), ("build", ["hatchling"])])
def test_an_image_installs_a_part_of_the_lock(file: str, needs: list[str]) -> None:
    """What an image installs is in the lock with the same hashes, and is all that is needed and no more."""
    assert (DEPLOY / f"{file}-requirements.txt").read_text(encoding="utf-8") == locked(needs)


def test_the_build_needs_what_the_project_says() -> None:
    """The build's part of the lock is of the build backend that ``pyproject.toml`` names, and tests are in neither."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert [need.split(">")[0] for need in project["build-system"]["requires"]] == ["hatchling"]
    assert {"pytest", "mypy", "hatchling"} & closure(keeper_needs()) == set()


def test_every_package_of_the_image_is_proven_by_its_hash() -> None:
    """Whatever pip installs is either hashed or the wheel that was just built."""
    installs = [
        part for word, text in dockerfile() if word == "RUN" for part in text.split("&&") if "pip install" in part
    ]

    assert [part for part in installs if "--require-hashes" not in part and "--no-index" not in part] == []
    assert len(installs) == 3


def test_the_base_must_be_chosen() -> None:
    """The base image has no default, so that none is invented and none moves unseen."""
    froms = {text.split()[0] for word, text in dockerfile() if word == "FROM"}

    assert (froms, [text for word, text in dockerfile() if word == "ARG"]) == ({"${PYTHON_IMAGE}"}, ["PYTHON_IMAGE"])


def test_what_is_copied_is_let_in() -> None:
    """Everything that the Dockerfile copies exists, and .dockerignore lets that in and nothing else."""
    copied = [text.split()[:-1] for word, text in dockerfile() if word == "COPY" and not text.startswith("--from")]
    names = {name for group in copied for name in group}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()

    assert {line[1:] for line in lines if line.startswith("!")} == names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last stage sets a numeric user that is not root's, and asks the health that the keeper serves."""
    words = dict(dockerfile())

    assert words["USER"] == f"{USER}:{USER}"
    assert f"127.0.0.1:{PORT}/healthz" in shlex.split(words["HEALTHCHECK"].split("CMD ")[1])[-1]


def test_compose_is_of_the_form() -> None:
    """Every service runs without root, without capabilities and on a root that cannot be written."""
    jsonschema.validate(compose(), COMPOSE)

    assert compose()["services"]["keeper"]["user"] == f"{USER}:{USER}"


def test_a_service_with_root_is_refused() -> None:
    """The form notices a service that runs as root."""
    document = compose()
    document["services"]["keeper"]["user"] = "0:0"

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, COMPOSE)


def test_the_pod_is_of_the_form() -> None:
    """Every container of the pod runs without root, without capabilities and on a root that cannot be written."""
    jsonschema.validate(pod(), POD)


def test_there_is_one_keeper_at_a_time() -> None:
    """One replica, one writer of the volume, and no eviction."""
    kinds = manifests()
    stateful = kinds["StatefulSet"]["spec"]
    modes = stateful["volumeClaimTemplates"][0]["spec"]["accessModes"]

    assert (stateful["replicas"], modes) == (1, ["ReadWriteOncePod"])
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 0


def test_probes_ask_what_is_served_to_everybody() -> None:
    """Each probe's path needs no token, and its port is the keeper's."""
    (container,) = pod()["containers"]
    asked = {container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    kinds = manifests()

    assert asked <= OPEN_PATHS
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    assert kinds["Service"]["spec"]["ports"][0]["port"] == PORT
    assert kinds["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"port": PORT, "protocol": "TCP"}]


def test_selectors_select_the_keeper() -> None:
    """Everything that selects pods selects the StatefulSet's."""
    kinds = manifests()
    labels = kinds["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    selectors = [kinds[kind]["spec"]["selector"]["matchLabels"] for kind in ("StatefulSet", "PodDisruptionBudget")]
    selectors += [kinds["Service"]["spec"]["selector"], kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]

    assert selectors == [labels] * 4


def mounts() -> Iterator[tuple[str, str]]:
    """Yield the name and path of all that the pod's containers mount."""
    for container in pod()["containers"] + pod()["initContainers"]:
        for mount in container["volumeMounts"]:
            yield mount["name"], mount["mountPath"]


def test_what_is_mounted_is_there() -> None:
    """Each mounted volume is defined, and each defined one is mounted."""
    claims = manifests()["StatefulSet"]["spec"]["volumeClaimTemplates"]
    defined = {each["name"] for each in pod()["volumes"]} | {each["metadata"]["name"] for each in claims}

    assert {name for name, _ in mounts()} == defined
    assert {"/var/lib/keeper", "/run/keeper", "/etc/keeper/keeper.toml"} <= {path for _, path in mounts()}
