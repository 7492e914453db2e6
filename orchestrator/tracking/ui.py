"""`flyp-sweep ui`: the MLflow UI on the store of a run, served to a browser."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from flyp_sweep.orchestrator.tracking.mlflow_logger import VIEW, quiet_environment
from flyp_sweep.orchestrator.tracking.mlflow_trial import PREFIX
from flyp_sweep.orchestrator.tracking.places import follow_moved_store
from flyp_sweep.orchestrator.tracking.uris import STORE, store_uri
from flyp_sweep.search_spaces.errors import InputError


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
    follow_moved_store(store)
    print(f"MLflow UI on http://{host}:{port} (Ctrl-C ends it)", flush=True)
    for sweep, address in addresses(
        store_uri(store), f"http://{host}:{port}", run.resolve().name if run else None
    ).items():
        print(f"  {sweep}: {address}", flush=True)
    uri = store_uri(store)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--registry-store-uri", uri]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which raises KeyboardInterrupt, as Ctrl-C does
    process = subprocess.Popen([*command, "--host", host, "--port", str(port)])
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return 0
