"""The MLflow mirror when its store is in trouble: the driver never waits for it, and every trial arrives once."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgers import Example
from mlflow import MlflowClient

from orchestrator.mirror import Mirror, store_uri
from results.run_folder import RunFolder

Record = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "x", "name: x\n")


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


def test_a_store_that_is_locked_for_a_while_gets_every_trial_once(folder: RunFolder, records: list[Record]) -> None:
    path = folder.path.parent / "mlflow.db"
    uri = store_uri(path)
    mirror = Mirror(uri, "space", "x", folder.path / "mlflow")
    mirror.finished(records[0])
    deadline = time.monotonic() + 60
    while not (path.exists() and "trials" in vars(mirror._tracking or object) and mirror._tracking.trials):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    for record in records[1:]:
        mirror.finished(record)
    assert time.monotonic() - began < 0.5, "nobody waits for the store"
    deadline = time.monotonic() + 60
    while mirror.trouble is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lock.execute("ROLLBACK")
    lock.close()
    while mirror.trouble is not None:
        assert time.monotonic() < deadline + 60
        time.sleep(0.05)
    assert mirror.close(folder, "the table", complete=True) is None
    assert mirrored(uri) == once(records)


def test_a_server_that_accepts_and_never_answers_is_given_up_at_the_end(
    folder: RunFolder, records: list[Record]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        mirror = Mirror(uri, "space", "x", folder.path / "mlflow", records)
        began = time.monotonic()
        behind = mirror.close(folder, "the table", complete=True)
    assert behind is not None
    assert time.monotonic() - began < 60


def test_a_ledger_that_can_no_longer_be_read_is_said_and_new_trials_are_mirrored(
    folder: RunFolder, records: list[Record]
) -> None:
    def breaking() -> Iterator[Record]:
        yield records[0]
        raise OSError("a disk went away")

    uri = store_uri(folder.path.parent / "mlflow.db")
    mirror = Mirror(uri, "space", "x", folder.path / "mlflow", breaking())
    mirror.finished(records[-1])
    assert mirror.close(folder, "", complete=True) == "a disk went away"
    assert mirrored(uri) == once([records[0], records[-1]])


def test_a_trial_that_failed_and_was_tried_again_is_there_once_with_its_last_status(
    folder: RunFolder, records: list[Record]
) -> None:
    uri = store_uri(folder.path.parent / "mlflow.db")
    failed = [{**records[0], "status": "failed", "reason": "an accident"}, *records[1:]]
    assert Mirror(uri, "space", "x", folder.path / "mlflow", failed).close(folder, "", complete=True) is None
    assert mirrored(uri) == once(failed)
    assert Mirror(uri, "space", "x", folder.path / "mlflow", records).close(folder, "", complete=True) is None
    assert mirrored(uri) == once(records)


def test_a_run_that_a_dead_driver_left_half_written_is_written_anew(folder: RunFolder, records: list[Record]) -> None:
    uri = store_uri(folder.path.parent / "mlflow.db")
    assert Mirror(uri, "space", "x", folder.path / "mlflow", records[:2]).close(folder, "", complete=False) is None
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("space").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`flyp_sweep.kind` = 'sweep'")
    client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id})
    assert Mirror(uri, "space", "x", folder.path / "mlflow", records).close(folder, "", complete=True) is None
    assert mirrored(uri) == once(records)
