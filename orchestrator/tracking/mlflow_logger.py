"""A sweep in MLflow: what the ledger holds, made to be browsed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Record, TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "flyp_sweep"
STORE = "mlflow.db"
VIEW = "flyp_sweep"
"""The key of the UI's shared view, kept in a tag of the experiment, that shows a sweep's columns."""
METRICS_PER_BATCH = 900


def quiet_environment() -> None:
    """MLflow without telemetry, prints or minutes of retries; what the user has set stays."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)


def store_uri(path: Path) -> str:
    """The URI of an SQLite store."""
    return f"sqlite:///{path.resolve()}"


def default_uri(run_path: Path) -> str:
    """The tracking store of a run when none is named: one SQLite file for all runs of a runs folder."""
    return store_uri(run_path.resolve().parent / STORE)


class MlflowLogger:
    """One sweep in one MLflow store: an experiment per search space, a parent run, a child run per trial.

    Every write is idempotent: a run that is there already, found by its trial id, is left alone.
    """

    def __init__(self, uri: str, experiment: str, folder: RunFolder) -> None:
        quiet_environment()
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces every table it makes
        self.client: MlflowClient = MlflowClient(tracking_uri=uri)
        self.folder = folder
        self.experiment = self._experiment(experiment, uri)
        self.parent = self._parent()

    @cached_property
    def trials(self) -> dict[str, tuple[str, str]]:
        """Trial id -> run id and status of the trials in the store, which takes seconds where there are many."""
        return dict(self._known_trials())

    def _experiment(self, name: str, uri: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        artifacts = self.folder.path.resolve() / "mlflow"
        location = artifacts.as_uri() if uri.startswith("sqlite:") else None
        # The kind makes the UI open on runs and charts; it opens on language-model traces else.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return self.client.create_experiment(name, artifact_location=location, tags=tags)

    def _parent(self) -> str:
        name = self.folder.name
        found = self._search(f"tags.`{PREFIX}.sweep` = {quoted(name)} and tags.`{PREFIX}.kind` = 'sweep'")
        for run in found:
            return run.info.run_id
        tags = {f"{PREFIX}.sweep": name, f"{PREFIX}.kind": "sweep"}
        return self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id

    def _known_trials(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for run in self._search(f"tags.mlflow.parentRunId = '{self.parent}'"):
            if run.info.status == "RUNNING":  # half-written by a driver that died: written anew
                self.client.delete_run(run.info.run_id)
            else:
                yield run.data.tags[f"{PREFIX}.trial_id"], (run.info.run_id, run.data.tags["status"])

    def _search(self, condition: str) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self.client.search_runs([self.experiment], condition, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def add(self, record: TrialRecord) -> None:
        """Mirror one trial of the ledger, unless it is there; one that had failed before is replaced."""
        from mlflow.entities import Param, RunTag

        if record.trial_id in self.trials:
            known, status = self.trials[record.trial_id]
            if status == record.status or status != "failed":
                return
            self.client.delete_run(known)
            del self.trials[record.trial_id]
        end = int(datetime.fromisoformat(record.finished).timestamp() * 1000)
        start = end - int(record.seconds * 1000)
        run = self.client.create_run(
            self.experiment, start_time=start, tags={"mlflow.parentRunId": self.parent}, run_name=run_name(record)
        )
        tags = [RunTag(key, value) for key, value in trial_tags(record).items()]
        params = [Param(key, str(value)) for key, value in record.hparams.items()]
        metrics = [*curves(record, start, end), *final_metrics(record, end)]
        self.client.log_batch(run.info.run_id, metrics[:METRICS_PER_BATCH], params, tags)
        for at in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run.info.run_id, metrics[at : at + METRICS_PER_BATCH])
        status = "FAILED" if record.status == "failed" else "FINISHED"
        self.client.set_terminated(run.info.run_id, status, end)
        self.trials[record.trial_id] = run.info.run_id, record.status

    def finish(self, description: str, *, complete: bool) -> None:
        """Put the report, tables and figures of the run folder, and the summary table, on the parent run.

        Raises InputError where the ledger cannot be read.
        """
        self.client.set_tag(self.parent, "mlflow.note.content", description)
        for file in (self.folder.space, self.folder.report):
            if file.is_file():
                self.client.log_artifact(self.parent, str(file))
        for part in (self.folder.tables, self.folder.figures):
            if part.is_dir():
                self.client.log_artifacts(self.parent, str(part), part.name)
        self.client.set_terminated(self.parent, "FINISHED" if complete else "KILLED")
        columns = json.dumps({"selectedColumns": first_columns(self.folder.ledger.load())})
        self.client.set_experiment_tag(self.experiment, f"mlflow.sharedViewState.{VIEW}", columns)


def quoted(text: str) -> str:
    """A text as MLflow's filters take it, which know no escape: in the quotes that it does not hold."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def run_name(record: TrialRecord) -> str:
    """A readable name that sorts: method, stage, then the seed or the configuration."""
    cell = record.cell
    shots = "" if cell.shots is None else f" {cell.shots}-shot"
    return f"{cell.dataset}{shots} {cell.method} {record.stage} seed {record.seed:02d} {record.config_id[:6]}"


def trial_tags(record: TrialRecord) -> dict[str, str]:
    """Tags to filter by."""
    cell = record.cell
    tags = {name: str(getattr(cell, name)) for name in ("method", "dataset", "model")}
    tags["shots"] = "full" if cell.shots is None else str(cell.shots)
    tags |= {name: str(getattr(record, name)) for name in ("stage", "seed", "status", "config_id")}
    if ingredients := record.settings.get("ingredients"):
        tags["ingredients"] = str(len(ingredients))
    if record.reason:
        tags["reason"] = record.reason[:4000]
    return {**tags, f"{PREFIX}.trial_id": record.trial_id, f"{PREFIX}.kind": "trial"}


def curves(record: TrialRecord, start: int, end: int) -> Iterator[Any]:
    """Numbers per epoch, spread evenly over the time of the trial."""
    from mlflow.entities import Metric

    for point in record.curve:
        when = start + int((end - start) * point["epoch"] / len(record.curve))
        for name, value in point.items():
            if name != "epoch":
                yield Metric(f"epoch/{name}", value, when, int(point["epoch"]))


def final_metrics(record: TrialRecord, end: int) -> Iterator[Any]:
    """`score`, and per split `without/...` and `with/...` ensembling."""
    from mlflow.entities import Metric

    for name, final in (("score", record.score), ("alpha", record.alpha), ("best_epoch", record.best_epoch)):
        if final is not None:
            yield Metric(name, float(final), end, 0)
    ood: dict[str, list[float]] = {}
    for one in record.measurements:
        for side in sides(one.alpha, record.chosen_alpha):
            yield Metric(f"{side}/{one.split}/{one.metric}", one.value, end, 0)
            if one.is_primary and one.role == "ood":
                ood.setdefault(side, []).append(one.value)
        if one.is_primary and record.alpha is not None:
            yield Metric(f"frontier/{one.split}", one.value, end, round(100 * one.alpha))
    for side, values in ood.items():
        yield Metric(f"{side}/mean_ood", fmean(values), end, 0)


def first_columns(records: Iterable[Record]) -> list[str]:
    """The columns that the UI's list of runs shows first, by the UI's own names of columns."""
    params: dict[str, None] = {}
    found: set[str] = set()
    for record in records:
        if isinstance(record, TrialRecord):
            params |= dict.fromkeys(record.hparams)
            primary = [one for one in record.measurements if one.is_primary]
            found |= {f"id_test/{one.metric}" for one in primary if one.role == "id_test"}
            found |= {"mean_ood" for one in primary if one.role == "ood"}
    metrics = ["score", "alpha", *(f"{side}/{name}" for name in sorted(found) for side in ("without", "with"))]
    return [
        *(f"attributes.`{name}`" for name in ("Created", "Duration")),
        *(f"metrics.`{name}`" for name in metrics),
        *(f"params.`{name}`" for name in params),
        "tags.`status`",
    ]


def sides(alpha: float, chosen: float | None) -> list[str]:
    """Which of the table's two columns a number at `alpha` belongs to."""
    return ["without"] * (alpha == 1.0) + ["with"] * (alpha == chosen)
