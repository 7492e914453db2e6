"""Each entry point by itself: what it waits for, what it says when that does not come, and how it ends."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import pytest
from services import (
    ENTRYPOINTS,
    entry,
    environment,
    launch,
    needs_postgres,
    outcome,
    postgres,
    ray_cluster,
    running,
)
from waiting import answers, free_port


@pytest.mark.parametrize(
    ("name", "variables", "missing"),
    [
        ("mlflow", {"MLFLOW_ARTIFACTS_DESTINATION": "/artifacts"}, "POSTGRES_PASSWORD"),
        ("mlflow", {"POSTGRES_PASSWORD": "p"}, "MLFLOW_ARTIFACTS_DESTINATION"),
        ("ray-head", {}, "RAY_AUTH_TOKEN"),
        ("ray-worker", {}, "RAY_AUTH_TOKEN"),
        ("ray-worker", {"RAY_AUTH_TOKEN": "t"}, "RAY_HEAD_ADDRESS"),
        ("sweep", {"SPACE": "quickstart"}, "RAY_AUTH_TOKEN"),
        ("sweep", {"RAY_AUTH_TOKEN": "t"}, "SPACE"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, name: str, variables: dict[str, str], missing: str) -> None:
    code, said = outcome(name, tmp_path, **variables)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith(f"{name}.sh: {missing}: found nothing in the environment; set it")


@pytest.mark.parametrize("name", ["ray-worker", "sweep"])
def test_a_head_that_does_not_come_is_said(tmp_path: Path, name: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    told = {"RAY_AUTH_TOKEN": "t", "RAY_HEAD_ADDRESS": address, "WAIT_SECONDS": 1, "SPACE": "quickstart"}
    code, said = outcome(name, tmp_path, **told)
    expected = f"{name}.sh: Ray's head: found nothing listening at {address} for 1 s; start it, or raise WAIT_SECONDS\n"
    assert (code, said) == (2, expected)


def test_an_address_without_a_port_is_said(tmp_path: Path) -> None:
    code, said = outcome("ray-worker", tmp_path, RAY_AUTH_TOKEN="t", RAY_HEAD_ADDRESS="head")
    assert (code, said) == (2, "ray-worker.sh: RAY_HEAD_ADDRESS: found head; expected HOST:PORT\n")


def test_a_database_that_does_not_come_is_said(tmp_path: Path) -> None:
    port = free_port()
    told = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": port, "POSTGRES_PASSWORD": "p", "WAIT_SECONDS": 1}
    code, said = outcome("mlflow", tmp_path, MLFLOW_ARTIFACTS_DESTINATION=tmp_path, **told)
    assert code == 2
    assert said.startswith(f"mlflow.sh: PostgreSQL: found nothing listening at 127.0.0.1:{port} for 1 s; start it")


@pytest.mark.slow
@needs_postgres
def test_mlflow_waits_for_its_database_answers_its_names_alone_and_ends(tmp_path: Path) -> None:
    database_port, port, password = free_port(), free_port(), secrets.token_hex(16)
    told = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": database_port, "MLFLOW_PORT": port}
    told |= {
        "MLFLOW_ARTIFACTS_DESTINATION": tmp_path / "artifacts",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000,127.0.0.1:*",
    }
    with running(entry("mlflow", tmp_path, POSTGRES_PASSWORD=password, **told)) as server:
        with postgres(tmp_path / "postgres.log", database_port, password) as database:
            code, said = outcome("mlflow", tmp_path, POSTGRES_PASSWORD="wrong", **told)
            assert (code, said.count("\n")) == (1, 1)
            assert "password authentication failed" in said
            server.until(lambda: answers(f"http://127.0.0.1:{port}/health"))
            page = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
            assert answers(page, Host="mlflow:5000")
            assert not answers(page, Host="elsewhere.example")
            assert database.rows("SELECT name FROM experiments") == [("Default",)]
            assert health(tmp_path, SERVICE="mlflow", MLFLOW_PORT=port) == 0
            assert not server.stop(), "all its processes have ended"
        assert health(tmp_path, SERVICE="mlflow", MLFLOW_PORT=port) != 0


@pytest.mark.slow
def test_ray_nodes_know_their_token_and_leave_nothing_behind(tmp_path: Path) -> None:
    with ray_cluster(tmp_path) as ray, contextlib.ExitStack() as stack:
        head = stack.enter_context(running(ray.head()))
        code, said = outcome("ray-worker", tmp_path, **{**ray.variables, "RAY_AUTH_TOKEN": "another"})
        assert (code, said) == (
            2,
            f"ray-worker.sh: Ray's head at {ray.address} refuses our token; give every node the same RAY_AUTH_TOKEN\n",
        )
        told = {**ray.variables, "SPACE": "quickstart", "RAY_JOIN": 0, "RAY_CPUS_WANTED": 1, "WAIT_SECONDS": 1}
        code, said = outcome("sweep", tmp_path, **told)
        assert code == 1
        assert said.endswith(
            "found 0 CPUs in the cluster after 1 s, expected 1; start workers, or lower RAY_CPUS_WANTED\n"
        )
        waiting = stack.enter_context(running(entry("sweep", tmp_path, **{**told, "WAIT_SECONDS": 60, "RAY_JOIN": 1})))
        waiting.until(lambda: waiting.runs("wait_for_cpus"))
        assert not waiting.stop()
        assert waiting.process.returncode == 130, waiting.output
        worker = stack.enter_context(running(ray.worker()))
        alive = {"SERVICE": "ray-worker", "RAY_HEAD_ADDRESS": ray.address}
        assert health(tmp_path, **alive) == 0
        assert health(tmp_path, SERVICE="ray-head", RAY_NODE_IP="127.0.0.2", RAY_HEAD_PORT=ray.port) == 0
        assert not worker.stop()
        assert not head.stop()
        assert health(tmp_path, **alive) != 0


def health(folder: Path, **variables: object) -> int:
    """What the image's health check says: 0 is well."""
    with running(launch([ENTRYPOINTS / "health.sh"], folder / "health.log", environment(**variables))) as check:
        return check.wait()
