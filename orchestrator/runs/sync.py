"""`flyp-sweep sync`: the MLflow view of a run, rebuilt from its ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flyp_sweep.orchestrator.runs.registration import register
from flyp_sweep.orchestrator.store.lock import locked
from flyp_sweep.orchestrator.tracking.credentials import redacted
from flyp_sweep.orchestrator.tracking.mlflow_logger import MlflowLogger, quiet_environment
from flyp_sweep.orchestrator.tracking.uris import check_uri, default_uri
from flyp_sweep.results import evidence_of, render
from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.running_trials import read_running
from flyp_sweep.results.outputs import planned_cells, table_of
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load


def sync(
    run: Path | str, uri: str | None, data_root: Path = Path("data"), say: Callable[[str], None] = lambda line: None
) -> str:
    """Bring the MLflow view of a run up to its ledger; returns what was done, in a line.

    `run` is the path of a run folder, or the URL of one in a store, which is read through its working copy. Raises
    InputError when a store does not answer, or when a driver is at work in the folder, which mirrors the run itself.
    """
    if isinstance(run, Path):
        folder = RunFolder(run)
        with locked(run):
            return _sync(folder, uri, data_root, say)
    from flyp_sweep.orchestrator.store.remote_run import opened, working_copy

    path = working_copy(run)
    with locked(path), opened(run, path):
        return _sync(RunFolder(path, run), uri, data_root, say)


def _sync(folder: RunFolder, uri: str | None, data_root: Path, say: Callable[[str], None]) -> str:
    check_uri(uri)
    quiet_environment()
    from mlflow.exceptions import MlflowException

    (records, sha256), planned = folder.ledger.load_hashed(), planned_cells(folder)
    trials = trials_by_id(records)
    selections = last_selections(records)
    complete = all(cell in selections and trials.keys() >= set(selections[cell].repeats) for cell in planned)
    try:
        logger = MlflowLogger(uri or default_uri(folder.path), load(folder.space).name, folder)
        for record in trials.values():
            logger.add(record)
        for trial in read_running(folder.running):  # broken off
            logger.show(trial)
        table, _, refused = table_of(evidence_of(records, folder.name, planned, sha256), folder)
        for line in refused:
            say(f"warning: {line}")
        logger.finish(render(table, "markdown"), complete=complete)
        if complete and load(folder.space).mlflow.register_best:
            register(folder, data_root, uri or default_uri(folder.path), say)
    except (OSError, MlflowException) as error:
        reason = redacted(one_line(str(error)))
        raise InputError(f"--mlflow: the store does not answer ({reason}); nothing is lost") from error
    there = len(trials) - logger.added - logger.replaced
    replaced = f"{logger.replaced} replaced, " if logger.replaced else ""
    return f"{logger.added} trials added, {replaced}{there} were there"
