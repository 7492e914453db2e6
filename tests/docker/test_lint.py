"""What can be said of docker/ without an engine, a Slurm or a Kubernetes: linters, schemas, and what must hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from services import DOCKER, ENTRYPOINTS, ROOT

SCRIPTS = sorted([*ENTRYPOINTS.glob("*.sh"), *DOCKER.glob("slurm/*.sbatch")])
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
RAY_JOB = yaml.safe_load((DOCKER / "kuberay" / "rayjob.yaml").read_text())
CLUSTER = RAY_JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
KUSTOMIZATION = yaml.safe_load((DOCKER / "kuberay" / "kustomization.yaml").read_text())
VOLUMES = list(yaml.safe_load_all((DOCKER / "kuberay" / "volumes.yaml").read_text()))
KUBERNETES = "1.33"
SECRETS = ("POSTGRES_PASSWORD", "RAY_AUTH_TOKEN")


def tool(name: str) -> str:
    """A program that a package of the `dev` extra has put beside Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name}: found nothing beside {sys.executable}; install the dev extra"
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_pass_shellcheck(script: Path) -> None:
    done = subprocess.run([tool("shellcheck"), "-x", "-P", "SCRIPTDIR", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scripts_that_are_run_are_executable_and_stop_at_errors() -> None:
    for script in SCRIPTS:
        run = script.name != "common.sh"
        assert (script.stat().st_mode & 0o111 != 0) == (run and script.suffix == ".sh"), script
        assert not run or "set -euo pipefail" in script.read_text(), script


def test_the_dockerfile_passes_hadolint() -> None:
    done = subprocess.run([tool("hadolint"), DOCKER / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_copies_what_is_there_and_is_sent_to_the_engine() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--)(.+)$", text, re.M) for word in line.split()[:-1]]
    copied_packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    ignored, *sent = [
        line for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert ignored == "*", "all but what is named"
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in sent, name
    assert {one.rstrip("*") for one in copied_packages["include"]} <= set(copied), "no package is forgotten"
    links = {path.readlink().name for path in (ROOT / "flyp_sweep").iterdir() if path.is_symlink()}
    assert links
    assert links <= set(copied), "the links of flyp_sweep/ lead somewhere in the image"


def test_the_image_runs_as_a_user_with_a_number_and_has_what_probes_call() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    stage = text[text.index("AS runtime") :]
    assert re.search(r"^USER (?!0)\d+:\d+$", stage, re.M)
    assert stage.index("COPY --from=build") < stage.index("USER "), "the code is not the user's to change"
    assert re.search(r"^HEALTHCHECK .*health\.sh", stage, re.M)
    assert re.search(r"apt-get install .*wget", stage)
    assert not re.search(r"^(ARG|ENV) .*(PASSWORD|TOKEN|SECRET)", text, re.M), "nothing secret is baked in"


def test_the_libraries_of_the_image_are_those_of_the_package() -> None:
    command = [sys.executable, DOCKER / "requirements.py", ROOT / "pyproject.toml", "postgres", "dashboard"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert printed == project["dependencies"] + extras["postgres"] + extras["dashboard"]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {"torch", "torchvision", "psycopg", "psycopg-binary", "aiohttp-cors"} <= pinned


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cuda.yaml"])
def test_compose_files_are_valid(name: str) -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(yaml.safe_load((DOCKER / name).read_text()), json.loads(schema.read_text()))


def test_services_are_started_by_the_entry_points() -> None:
    assert SERVICES.keys() == {"postgres", "mlflow", "ray-head", "ray-worker", "sweep"}
    for name in SERVICES.keys() - {"postgres"}:
        entry = SERVICES[name].get("entrypoint", SERVICES[name]["command"])[-1]
        assert entry == f"{name}.sh"
        assert (ENTRYPOINTS / entry).is_file()
        watched = SERVICES[name].get("healthcheck", {}).get("disable") or SERVICES[name]["environment"]["SERVICE"]
        assert watched in (True, name)


def test_only_dashboards_are_published_and_only_to_this_machine() -> None:
    ports = {name: service.get("ports", []) for name, service in SERVICES.items() if service.get("ports")}
    assert ports.keys() == {"mlflow", "ray-head"}
    for published in chain.from_iterable(ports.values()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-(\d+)\}:\1", published), published
    assert not any("network_mode" in service for service in SERVICES.values())
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["database"]


def test_compose_holds_no_secret_and_does_not_start_without() -> None:
    for service in SERVICES.values():
        told = {name: value for name, value in service.get("environment", {}).items() if name in SECRETS}
        for name, value in told.items():
            assert re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", value), value
    asked = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert asked >= set(SECRETS)
    example = dict(line.split("=") for line in (DOCKER / ".env.example").read_text().splitlines() if "=" in line)
    assert [example[name] for name in SECRETS] == ["", ""]
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines(), "the filled-in one is never committed"
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    assert used == example.keys(), "the example names every variable, and no other"


def test_every_volume_is_declared_and_runs_are_seen_by_all_of_ray() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                assert volume.split(":")[0] in COMPOSE["volumes"], (name, volume)
            else:
                assert volume["read_only"] is True
    ray = [SERVICES[name] for name in ("ray-head", "ray-worker", "sweep")]
    assert all("runs:/sweeps/runs" in service["volumes"] and "cache:/cache" in service["volumes"] for service in ray)
    assert all(service["environment"]["RAY_AUTH_MODE"] == "token" for service in ray)


@pytest.mark.parametrize("group", GROUPS, ids=["head", "workers"])
def test_pods_are_valid_and_have_no_rights(group: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, **group["template"]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert f"USER {spec['securityContext']['runAsUser']}:" in (DOCKER / "Dockerfile").read_text()
    (container,) = spec["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert container["resources"]["limits"] == container["resources"]["requests"], "Ray counts the limits"
    assert not any("value" in one for one in container.get("env", []) if "URI" in one["name"]), "from a secret"


def test_the_ray_job_starts_our_entry_point_on_the_ray_that_is_pinned_and_wants_a_token() -> None:
    assert (ENTRYPOINTS / RAY_JOB["spec"]["entrypoint"]).is_file()
    assert f"ray=={CLUSTER['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert CLUSTER["authOptions"] == {"mode": "token"}


def test_kustomize_finds_what_it_changes() -> None:
    assert all((DOCKER / "kuberay" / name).is_file() for name in KUSTOMIZATION["resources"])
    there = {(one["kind"], one["metadata"]["name"]): one for one in [RAY_JOB, *VOLUMES]}
    for patch in KUSTOMIZATION["patches"]:
        target = there[patch["target"]["kind"], patch["target"]["name"]]
        for change in yaml.safe_load(patch["patch"]):
            assert change["op"] == "replace"
            found: Any = target
            for key in change["path"].strip("/").split("/"):
                found = found[int(key)] if isinstance(found, list) else found[key]  # as JSON patch would walk
    images = {container["image"] for group in GROUPS for container in group["template"]["spec"]["containers"]}
    assert images == {image["name"] for image in KUSTOMIZATION["images"]}
    maps = {one["name"] for one in KUSTOMIZATION["configMapGenerator"]}
    claims = {one["metadata"]["name"] for one in VOLUMES}
    assert {one["configMapRef"]["name"] for one in GROUPS[0]["template"]["spec"]["containers"][0]["envFrom"]} == maps
    for volume in GROUPS[0]["template"]["spec"]["volumes"]:
        config = volume.get("configMap")
        assert config is None or config.get("optional") or config["name"] in maps
        claim = volume.get("persistentVolumeClaim")
        assert claim is None or claim["claimName"] in claims
    assert KUSTOMIZATION["generatorOptions"] == {"disableNameSuffixHash": True}, "kustomize knows no names in a RayJob"


@pytest.mark.parametrize("volume", VOLUMES, ids=lambda volume: volume["metadata"]["name"])
def test_volumes_are_valid_and_shared(volume: dict[str, Any]) -> None:
    kubernetes_validate.validate(volume, KUBERNETES, strict=True)
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
