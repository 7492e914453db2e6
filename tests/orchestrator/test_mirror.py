"""The MLflow mirror when its store is in trouble: the driver never waits for it, and every trial arrives once."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from ledgers import Example, record_of, typed
from mlflow import MlflowClient
from waiting import until

from flyp_sweep.orchestrator.runs.running_files import RunningFiles
from flyp_sweep.orchestrator.tracking.mirror import Mirror
from flyp_sweep.orchestrator.tracking.mirror_process import Follower
from flyp_sweep.orchestrator.tracking.mlflow_logger import MlflowLogger
from flyp_sweep.orchestrator.tracking.uris import store_uri
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.running_trials import EpochReport, RunningTrial
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.loading import dump, load

pytestmark = pytest.mark.slow

Record = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "x", dump(load("quickstart")))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store of MLflow, whose tables take seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(store_uri(path)).search_experiments()
    return path


@pytest.fixture
def uri(folder: RunFolder, migrated: Path) -> str:
    """A store with tables and no experiment of its own."""
    return store_uri(Path(shutil.copy(migrated, folder.path.parent)))


@pytest.fixture
def records() -> list[Record]:
    return [{**record, "notes": []} for record in Example().run() if record["kind"] == "trial"]


def mirrored(uri: str) -> dict[str, list[str]]:
    """Trial id -> the statuses of its runs in the store."""
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("space").experiment_id])
    found: dict[str, list[str]] = {}
    for run in runs:
        if run.data.tags["flyp_sweep.kind"] == "trial":
            found.setdefault(run.data.tags["flyp_sweep.trial_id"], []).append(run.data.tags["status"])
    return found


def once(records: list[Record]) -> dict[str, list[str]]:
    return {record["trial_id"]: [record["status"]] for record in records}


def append(folder: RunFolder, records: list[Record]) -> None:
    for record in records:
        folder.ledger.append(record_of(record))


def mirror(uri: str, folder: RunFolder, *, complete: bool = True) -> str | None:
    """What the mirror's process does, in this one."""
    return Follower(uri, "space", folder).close("the table", complete=complete)


def test_trials_that_were_there_and_those_that_come_are_mirrored(folder: RunFolder, records: list[Record]) -> None:
    uri = store_uri(folder.path.parent / "mlflow.db")
    append(folder, records[:2])
    mirror = Mirror(uri, "space", folder)
    mirror.finished(*typed(records[1:2]))
    until(lambda: (folder.path.parent / "mlflow.db").exists())
    append(folder, records[2:])
    assert mirror.close("the table", complete=True) is None
    assert mirrored(uri) == once(records)


def test_a_store_that_is_locked_for_a_while_gets_every_trial_once(
    folder: RunFolder, records: list[Record], uri: str
) -> None:
    path = folder.path.parent / "mlflow.db"
    follower = Follower(f"{uri}?timeout=1", "space", folder)  # SQLite's own patience, in seconds
    append(folder, records[:1])
    until(lambda: path.exists() and "trials" in vars(follower._logger or object) and follower._logger.trials)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    append(folder, records[1:])
    until(lambda: follower.trouble is not None)
    lock.execute("ROLLBACK")
    lock.close()
    until(lambda: follower.trouble is None)
    assert follower.close("the table", complete=True) is None
    assert mirrored(uri) == once(records)


def test_a_server_that_accepts_and_never_answers_is_given_up_at_the_end(
    folder: RunFolder, records: list[Record]
) -> None:
    append(folder, records)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        code = (
            "import os; from flyp_sweep.orchestrator.tracking import mirror_process\n"
            "from flyp_sweep.results.ledger.run_folder import RunFolder\n"
            "mirror_process.PATIENCE_SECONDS = 2.0\n"
            f"uri, folder = 'http://127.0.0.1:{mute.getsockname()[1]}', RunFolder({str(folder.path)!r})\n"
            "print(mirror_process.Follower(uri, 'space', folder).close('', complete=True), flush=True); os._exit(0)"
        )
        ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=100)
    assert ended.stdout == "it is still being written\n"


def test_a_ledger_that_can_no_longer_be_read_is_said(folder: RunFolder, records: list[Record], uri: str) -> None:
    append(folder, records[:1])
    with folder.ledger.path.open("a") as file:
        file.write("not a record\n")
    mirror = Mirror(uri, "space", folder)
    mirror.finished(*typed(records[:1]))
    log = folder.path / "log.txt"
    until(lambda: log.exists() and "the ledger cannot be read" in log.read_text())
    behind = mirror.close("the table", complete=True)
    assert behind is not None
    assert f"{folder.ledger.path}:2" in behind
    assert mirrored(uri) == once(records[:1])


def test_a_trial_that_failed_and_was_tried_again_is_there_once_with_its_last_status(
    folder: RunFolder, records: list[Record], uri: str
) -> None:
    failed = [{**records[0], "status": "failed", "reason": "an accident"}, *records[1:]]
    append(folder, failed)
    assert mirror(uri, folder) is None
    assert mirrored(uri) == once(failed)
    append(folder, records[:1])
    assert mirror(uri, folder) is None
    assert mirrored(uri) == once(records)


def test_a_run_that_a_dead_driver_left_half_written_is_written_anew(
    folder: RunFolder, records: list[Record], uri: str
) -> None:
    append(folder, records[:2])
    assert mirror(uri, folder, complete=False) is None
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("space").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`flyp_sweep.kind` = 'sweep'")
    client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id})
    append(folder, records[2:])
    assert mirror(uri, folder) is None
    assert mirrored(uri) == once(records)


def test_it_ends_with_its_driver(folder: RunFolder, uri: str) -> None:
    code = (
        "import os; from flyp_sweep.orchestrator.tracking.mirror import Mirror\n"
        "from flyp_sweep.results.ledger.run_folder import RunFolder\n"
        f"print(Mirror({uri!r}, 'space', RunFolder({str(folder.path)!r}))._process.pid, flush=True); os._exit(1)"
    )
    driver = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    pid = int(driver.stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_mirror_that_was_killed_is_said(folder: RunFolder, uri: str) -> None:
    mirror = Mirror(uri, "space", folder)
    mirror._process.kill()
    assert mirror.close("", complete=True) == "the process that writes it ended with code -9"


def running(record: Record, epochs: int, started: str = "2026-11-21T21:59:00+00:00") -> RunningTrial:
    """A trial under way that `record` will end, after that many epochs."""
    done = [
        EpochReport(epoch=one, score=0.5 + one / 10, loss=1.0 / one, train_loss=2.0) for one in range(1, epochs + 1)
    ]
    named = {name: record[name] for name in ("trial_id", "stage", "seed", "hparams", "config_id", "settings")}
    cell = Cell(**record["cell"])
    return RunningTrial(
        cell=cell, metric="accuracy", planned_epochs=3, started=started, updated=started, epochs=tuple(done), **named
    )


def with_curve(record: Record) -> Record:
    curve = [{"epoch": one, "train_loss": 2.0, "loss": 1.0 / one} for one in (1, 2, 3)]
    return {**record, "curve": curve, "epochs": 3, "settings": {"epochs": 3}}


def steps(client: MlflowClient, run_id: str) -> list[int]:
    return sorted(one.step for one in client.get_metric_history(run_id, "val/loss"))


def test_a_trial_under_way_has_a_run_that_its_end_completes(folder: RunFolder, records: list[Record], uri: str) -> None:
    record = with_curve(records[1])
    files = RunningFiles(folder.running)
    files.write(running(record, 0))
    follower = Follower(uri, "space", folder)
    client = MlflowClient(uri)
    seen: list[Any] = []

    def shown(epochs: str | None) -> bool:
        experiment = client.get_experiment_by_name("space")
        found = client.search_runs([experiment.experiment_id], "tags.`flyp_sweep.kind` = 'trial'") if experiment else []
        seen[:] = found
        return bool(found) and found[0].data.tags.get("epochs") == epochs

    until(lambda: shown(None))
    (run,) = seen
    assert (run.info.status, run.info.run_name) == ("RUNNING", "ft lr=3e-4 wd=0.1 seed 0")
    files.write(running(record, 2))
    until(lambda: shown("2/3"))
    assert steps(client, run.info.run_id) == [1, 2]
    append(folder, [record])
    files.remove(record["trial_id"])
    assert follower.close("the table", complete=True) is None
    assert shown("3/3")
    (ended,) = seen
    assert (ended.info.run_id, ended.info.status) == (run.info.run_id, "FINISHED")
    assert steps(client, run.info.run_id) == [1, 2, 3]
    parent = client.get_run(ended.data.tags["mlflow.parentRunId"])
    assert parent.info.start_time <= ended.info.start_time


def test_a_trial_that_was_broken_off_is_killed_and_taken_up_again(
    folder: RunFolder, records: list[Record], uri: str
) -> None:
    record = with_curve(records[1])
    logger = MlflowLogger(uri, "space", folder)
    logger.show(running(record, 1))
    logger.finish("", complete=False)
    again = MlflowLogger(uri, "space", folder)
    (known,) = again.trials.values()
    assert (known.status, known.epochs) == ("KILLED", 1)
    again.show(running(record, 2, started="2026-11-21T21:59:30+00:00"))
    (taken_up,) = MlflowLogger(uri, "space", folder).trials.values()
    assert (taken_up.run_id, taken_up.status) == (known.run_id, "RUNNING")
    append(folder, [record])
    again.add(record_of(record), is_last=False)
    assert steps(again.client, known.run_id) == [1, 2, 3]
    assert mirrored(uri) == once([record])


def test_a_failed_trial_that_runs_again_is_shown_as_running_until_it_ends(
    folder: RunFolder, records: list[Record], uri: str
) -> None:
    failed = {**with_curve(records[1]), "status": "failed", "reason": "an accident"}
    logger = MlflowLogger(uri, "space", folder)
    logger.add(record_of(failed))
    logger.show(running(failed, 1))
    assert [known.status for known in logger.trials.values()] == ["FAILED"], "its file is about to be removed"
    logger.show(running(failed, 1, started="2026-11-21T22:01:00+00:00"))
    logger.add(record_of(failed), is_last=False)  # a mirror that starts reads the ledger from its beginning
    assert [known.status for known in logger.trials.values()] == ["RUNNING"]
    logger.add(record_of(with_curve(records[1]) | {"finished": "2026-11-21T22:02:00Z"}), is_last=False)
    assert [known.status for known in logger.trials.values()] == ["FINISHED"]
