"""What compose.yaml starts, started by the same entry points: a sweep through it gives the numbers of a local run."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from commands import numbers, trials
from finished import Finished
from services import (
    Database,
    Ray,
    Service,
    entry,
    needs_postgres,
    postgres,
    ray_cluster,
    running,
)
from waiting import answers, free_port

pytestmark = [pytest.mark.slow, needs_postgres]


@dataclass
class Everything:
    """The servers of compose.yaml, and a folder that the driver and the nodes see."""

    folder: Path
    database: Database
    ray: Ray
    uri: str
    nodes: contextlib.ExitStack

    @property
    def secrets(self) -> list[str]:
        return [self.database.password, self.ray.token]

    def worker(self) -> Service:
        return self.nodes.enter_context(running(self.ray.worker()))

    def sweep(self, space: str, *options: object) -> Service:
        (self.folder / "space.yaml").write_text(space)
        told = {**self.ray.variables, "MLFLOW_TRACKING_URI": self.uri, "RAY_CPUS_WANTED": 2}
        return entry("sweep", self.folder, "space.yaml", *options, RAY_NODE_IP="127.0.0.99", **told)


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Everything]:
    folder, port = tmp_path / "shared", free_port()
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres(folder / "postgres.log"))
        told = {"MLFLOW_PORT": port, "MLFLOW_ARTIFACTS_DESTINATION": folder / "artifacts"}
        mlflow = stack.enter_context(running(entry("mlflow", folder, **told, **database.variables)))
        ray = stack.enter_context(ray_cluster(folder))
        stack.enter_context(running(ray.head()))
        all_ = Everything(
            folder, database, ray, f"http://127.0.0.1:{port}", stack.enter_context(contextlib.ExitStack())
        )
        mlflow.until(lambda: answers(f"{all_.uri}/health"))
        yield all_


def test_a_sweep_through_all_services_gives_the_numbers_of_a_local_one(everything: Everything, small: Finished) -> None:
    everything.worker()
    everything.worker()
    expected = numbers(small.run)
    seen: set[str] = set()
    with running(everything.sweep(small.space.read_text())) as sweep:
        while sweep.process.poll() is None:
            seen |= command_lines()
            time.sleep(0.2)
    assert sweep.process.returncode == 0, sweep.output
    found = everything.folder / "runs" / "small"
    assert numbers(found) == expected
    assert len(trials(found)) == len(expected)
    assert mirrored(everything.database) == sorted(expected)
    assert {"report.html", "space.yaml", "tables"} <= set(artifacts(everything.uri))
    assert any("gcs_server" in line for line in seen), "processes were looked at"
    assert not [line for line in seen if any(secret in line for secret in everything.secrets)]
    assert not files_with(everything.secrets, [everything.folder, everything.ray.temporary])


@pytest.mark.chaos
def test_nodes_of_the_cluster_come_and_go_and_the_driver_with_them(everything: Everything, small: Finished) -> None:
    """A node's machine is gone amid a trial, another joins; the sweep's container is stopped, and started again."""
    options = ("--set", "failures.max_failures=1000", "--set", "failures.backoff_seconds=0")
    options += ("--set", "checkpoints.every_seconds=0")
    workers = [everything.worker(), everything.worker()]
    found = everything.folder / "runs" / "small"
    with running(everything.sweep(small.space.read_text(), *options)) as sweep:
        sweep.until(lambda: len(trials(found)) >= 4, seconds=180)
        workers[0].kill()
        workers[0] = everything.worker()
        sweep.until(lambda: len(trials(found)) >= 7, seconds=180)
        assert not sweep.stop(), "the driver's node and all below it have ended"
        assert sweep.process.returncode == 130, sweep.output
    with running(everything.sweep(small.space.read_text(), *options)) as again:
        again.until(lambda: len(trials(found)) >= 10, seconds=180)
        workers[1].kill()
        everything.worker()
        assert again.wait(600) == 0, again.output
    assert "again in" in again.output, "a node that was lost had a trial"
    assert len(trials(found)) == len(numbers(small.run))
    assert numbers(found) == numbers(small.run)
    assert mirrored(everything.database) == sorted(numbers(small.run))


def command_lines() -> set[str]:
    """Of all processes: what any user of a machine can read."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found.add(" ".join(process.cmdline()))
    return found


def files_with(secrets: list[str], folders: list[Path]) -> list[Path]:
    """Files that hold a secret: logs, the run folder, what Ray keeps."""
    inside = [Path(top, name) for folder in folders for top, _, names in os.walk(folder) for name in names]
    files = [path for path in inside if path.is_file() and not path.is_symlink()]
    assert len(files) > 20
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def mirrored(database: Database) -> list[object]:
    """Trial ids of the runs in MLflow's tables, one that is there twice twice."""
    tagged = "FROM tags JOIN runs USING (run_uuid) WHERE key = 'flyp_sweep.trial_id' AND lifecycle_stage = 'active'"
    return sorted(str(value) for (value,) in database.rows(f"SELECT value {tagged} AND status = 'FINISHED'"))


def artifacts(uri: str) -> list[str]:
    """What lies on the parent run, as a client of the server sees it."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    (parent,) = client.search_runs(experiments, "tags.`flyp_sweep.kind` = 'sweep'")
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:"), "they go through the server"
    return [one.path for one in client.list_artifacts(parent.info.run_id)]
