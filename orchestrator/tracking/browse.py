"""The MLflow view after the fact: rebuilt from a ledger, and served to a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flyp_sweep.orchestrator.engine.signals import sigterm_as_sigint
from flyp_sweep.orchestrator.runs.artifacts import planned_cells
from flyp_sweep.orchestrator.runs.lock import locked
from flyp_sweep.orchestrator.tracking.credentials import redacted
from flyp_sweep.orchestrator.tracking.mlflow_view import (
    PREFIX,
    STORE,
    VIEW,
    FirstColumns,
    Tracking,
    default_uri,
    quiet_environment,
    store_uri,
)
from flyp_sweep.results import evidence_of, make_table, render
from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load


def sync_run(folder: RunFolder, uri: str | None) -> str:
    """Bring the MLflow view of a run up to its ledger; returns what was done, in a line.

    Raises InputError when the store does not answer, or a driver is at work in the folder, which mirrors it itself.
    """
    with locked(folder.path):
        return _sync(folder, uri)


def sync_url(url: str, uri: str | None) -> str:
    """The same for a run in a store, by way of its working copy."""
    from flyp_sweep.orchestrator.store.publication import published, working_copy

    path = working_copy(url)
    with locked(path), published(url, path):
        return _sync(RunFolder(path), uri)


def _sync(folder: RunFolder, uri: str | None) -> str:
    quiet_environment()
    from mlflow.exceptions import MlflowException

    (records, sha256), planned = folder.ledger.load_hashed(), planned_cells(folder)
    trials = trials_by_id(records)
    selections = last_selections(records)
    complete = all(cell in selections and trials.keys() >= set(selections[cell].repeats) for cell in planned)
    try:
        tracking = Tracking(uri or default_uri(folder.path), load(folder.space).name, folder, FirstColumns())
        before = len(tracking.trials)
        for record in trials.values():
            tracking.add(record)
        table = make_table([evidence_of(records, folder.name, planned, sha256)])
        tracking.finish(render(table, "markdown"), complete=complete)
    except (OSError, MlflowException) as error:
        reason = redacted(one_line(str(error)))
        raise InputError(f"--mlflow: the store does not answer ({reason}); nothing is lost") from error
    return f"{len(tracking.trials) - before} trials added, {before} were there"


def addresses(uri: str, root: str, sweep: str | None) -> dict[str, str]:
    """Where the UI at `root` shows each sweep of a store, or the one named `sweep`.

    The UI's front page is of language-model traces; these lead to the runs, with the columns of a sweep.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = {}
    for parent in client.search_runs(experiments, f"tags.`{PREFIX}.kind` = 'sweep'"):
        name, experiment = parent.data.tags[f"{PREFIX}.sweep"], parent.info.experiment_id
        if sweep in (None, name):
            view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
            found[name] = f"{root}/#/experiments/{experiment}/runs?{view}"
    return found


def serve(run: Path | None, host: str, port: int) -> int:
    """Serve the MLflow UI of a run's store, or of the runs in ./runs, until Ctrl-C; returns the exit code.

    Raises InputError when there is no store.
    """
    store = (run.resolve().parent if run else Path("runs")) / STORE
    if not store.is_file():
        raise InputError(f"{store}: found no MLflow store; make one with `flyp-sweep run` or `flyp-sweep sync RUN`")
    quiet_environment()
    print(f"MLflow UI on http://{host}:{port} (Ctrl-C ends it)", flush=True)
    for sweep, address in addresses(
        store_uri(store), f"http://{host}:{port}", run.resolve().name if run else None
    ).items():
        print(f"  {sweep}: {address}", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store_uri(store)]
    process = subprocess.Popen([*command, "--host", host, "--port", str(port)])
    try:
        with sigterm_as_sigint():
            return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return 0
