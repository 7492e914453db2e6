"""A sweep in MLflow: what the ledger holds, made to be browsed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from flyp_sweep.orchestrator.tracking.kept_models import KeptModels
from flyp_sweep.orchestrator.tracking.uris import sqlite_file
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Record, TrialRecord, encode
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "flyp_sweep"
VIEW = "flyp_sweep"
"""The key of the UI's shared view, kept in a tag of the experiment, that shows a sweep's columns."""
METRICS_PER_BATCH = 900
LONGEST_PART = 100
"""Characters of a label in a metric's name; MLflow takes names of 250."""


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


@dataclass(frozen=True)
class Known:
    """A trial in the store: its run there, the digest of the record that the run was made of, and its end in ms."""

    run_id: str
    digest: str
    end: int


class MlflowLogger:
    """One sweep in one MLflow store: an experiment per search space, a parent run, a child run per trial.

    The parent is found by the run folder's identity, whatever the folder is called and wherever it lies; a child by its
    trial id. Every write is idempotent: a run that was made of the same record is left alone.
    """

    def __init__(self, uri: str, experiment: str, folder: RunFolder) -> None:
        quiet_environment()
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces every table it makes
        self.client: MlflowClient = MlflowClient(tracking_uri=uri)
        self.folder = folder
        self.added = self.replaced = 0
        self._file = sqlite_file(uri)
        self.experiment = self._experiment(experiment)
        self.parent = self._parent()

    @cached_property
    def trials(self) -> dict[str, Known]:
        """The trials in the store by their ids, which takes seconds where there are many."""
        return dict(self._known_trials())

    def _experiment(self, name: str) -> str:
        """Raises InputError for an experiment that was deleted, which keeps its name."""
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise InputError(
                f"--mlflow: experiment {name!r} of the store was deleted; restore it with `mlflow experiments restore "
                f"-x {found.experiment_id}`, or remove it for good with `mlflow gc`"
            )
        if found is not None:
            return found.experiment_id
        location = (self._file.resolve().parent / "mlflow-artifacts").as_uri() if self._file else None
        # The kind makes the UI open on runs and charts; it opens on language-model traces else.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return self.client.create_experiment(name, artifact_location=location, tags=tags)

    def _parent(self) -> str:
        """The parent run. In a store on this machine, one of a run that lay in this very folder before goes."""
        place = self.folder.path.resolve()
        tags = {"sweep": self.folder.name, "id": self.folder.identity, "folder": str(place), "kind": "sweep"}
        tags = {f"{PREFIX}.{name}": value for name, value in tags.items()} | {"mlflow.runName": self.folder.name}
        parent: str | None = None
        for run in list(self._search(f"tags.`{PREFIX}.kind` = 'sweep'")):
            if run.data.tags.get(f"{PREFIX}.id") == self.folder.identity:
                parent = run.info.run_id
            elif self._file is not None and run.data.tags.get(f"{PREFIX}.folder") == str(place):
                self._delete_sweep(run.info.run_id)
        if parent is None:
            parent = self.client.create_run(self.experiment, tags=tags).info.run_id
        for name, value in tags.items():  # the folder may have moved
            self.client.set_tag(parent, name, value)
        if self._file is not None:
            place_artifacts(self._file, parent, place / "mlflow")
        return parent

    def _delete_sweep(self, parent: str) -> None:
        for run in list(self._search(f"tags.mlflow.parentRunId = '{parent}'")):
            self.client.delete_run(run.info.run_id)
        self.client.delete_run(parent)

    def _known_trials(self) -> Iterator[tuple[str, Known]]:
        for run in self._search(f"tags.mlflow.parentRunId = '{self.parent}'"):
            if run.info.status == "RUNNING":  # half-written by a driver that died: written anew
                self.client.delete_run(run.info.run_id)
            elif trial_id := run.data.tags.get(f"{PREFIX}.trial_id"):
                digest = run.data.tags.get(f"{PREFIX}.record", "")
                yield trial_id, Known(run.info.run_id, digest, run.info.end_time or 0)

    def _search(self, condition: str) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self.client.search_runs([self.experiment], condition, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def add(self, record: TrialRecord, *, is_last: bool = True) -> None:
        """Mirror one trial of the ledger, in the place of a run that was made of another record of it.

        `is_last`: the ledger has no later record of the trial. Without this a run of a later record stays.
        """
        digest = digest_of(record)
        end = int(datetime.fromisoformat(record.finished).timestamp() * 1000)
        known = self.trials.get(record.trial_id)
        if known is not None:
            if known.digest == digest or (not is_last and known.end > end):
                return
            self.client.delete_run(known.run_id)
            del self.trials[record.trial_id]
        self.trials[record.trial_id] = Known(self._write(record, digest, end), digest, end)
        self.added += known is None
        self.replaced += known is not None

    def _write(self, record: TrialRecord, digest: str, end: int) -> str:
        """A new child run; none is left behind where the store refuses a part of it."""
        from mlflow.entities import Param, RunTag

        start = end - int(record.seconds * 1000)
        run_id: str = self.client.create_run(
            self.experiment, start_time=start, tags={"mlflow.parentRunId": self.parent}, run_name=run_name(record)
        ).info.run_id
        tags = [RunTag(key, value) for key, value in trial_tags(record).items()]
        tags.append(RunTag(f"{PREFIX}.record", digest))
        params = [Param(key, str(value)) for key, value in record.hparams.items()]
        metrics = [*curves(record, start, end), *final_metrics(record, end)]
        try:
            self.client.log_batch(run_id, metrics[:METRICS_PER_BATCH], params, tags)
            for at in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
                self.client.log_batch(run_id, metrics[at : at + METRICS_PER_BATCH])
            self.client.log_inputs(run_id, data_sets(record))
            self.client.set_terminated(run_id, "FAILED" if record.status == "failed" else "FINISHED", end)
        except Exception:
            with contextlib.suppress(Exception):
                self.client.delete_run(run_id)
            raise
        return run_id

    def finish(self, description: str, *, complete: bool) -> None:
        """Put the report, tables and figures of the run folder, and the summary table, on the parent run.

        Trials that the ledger lacks go. Raises InputError where the ledger cannot be read.
        """
        self.client.set_tag(self.parent, "mlflow.note.content", description)
        for file in (self.folder.space, self.folder.report):
            if file.is_file():
                self.client.log_artifact(self.parent, str(file))
        for part in (self.folder.tables, self.folder.figures):
            if part.is_dir():
                self.client.log_artifacts(self.parent, str(part), part.name)
        self.client.set_terminated(self.parent, "FINISHED" if complete else "KILLED")
        records = self.folder.ledger.load()
        for trial_id in self.trials.keys() - {one.trial_id for one in records if isinstance(one, TrialRecord)}:
            self.client.delete_run(self.trials.pop(trial_id).run_id)
        trials = [one for one in records if isinstance(one, TrialRecord) and one.trial_id in self.trials]
        KeptModels(self).mirror([one for one in trials if one.stage == "repeat" and one.status == "done"])
        columns = json.dumps({"selectedColumns": first_columns(records)})
        self.client.set_experiment_tag(self.experiment, f"mlflow.sharedViewState.{VIEW}", columns)


def place_artifacts(store: Path, run_id: str, folder: Path) -> None:
    """Have the artifacts of a run lie in `folder`, which lies in the run folder and moves with it.

    MLflow gives a run a place below that of its experiment, which all sweeps of a search space share, and has no call
    to change the place.
    """
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database, database:
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (folder.as_uri(), run_id))


def digest_of(record: TrialRecord) -> str:
    """What tells whether a run in the store was made of this record."""
    return hashlib.sha256(encode(record)).hexdigest()[:32]


def metric_part(label: str) -> str:
    """A split's label as a part of a metric's name, in which MLflow takes letters, digits, `_`, `-`, `.` and spaces.

    A label that has to change ends in a digest, so that different ones stay different.
    """
    kept = re.sub(r"[^\w\-. ]", "_", label)[:LONGEST_PART]
    if kept == label and kept.strip("."):
        return label
    return f"{kept.strip('.')}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def metric_name(metric: str) -> str:
    """A metric's own name; the group in `group_accuracy/GROUP` is the user's text, as the label of a split is."""
    kind, slash, group = metric.partition("/")
    return f"{kind}/{metric_part(group)}" if slash else metric


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
                yield Metric(f"epoch/{metric_name(name)}", value, when, int(point["epoch"]))


def final_metrics(record: TrialRecord, end: int) -> Iterator[Any]:
    """`score`, and per split `without/...` and `with/...` ensembling; the mean OOD where no OOD set lacks a number."""
    from mlflow.entities import Metric

    for name, final in (("score", record.score), ("alpha", record.alpha), ("best_epoch", record.best_epoch)):
        if final is not None:
            yield Metric(name, float(final), end, 0)
    ood: dict[str, list[float]] = {}
    for one in record.measurements:
        for side in sides(one.alpha, record.chosen_alpha):
            yield Metric(f"{side}/{metric_part(one.split)}/{metric_name(one.metric)}", one.value, end, 0)
            if one.is_primary and one.role == "ood":
                ood.setdefault(side, []).append(one.value)
        if one.is_primary and record.alpha is not None:
            yield Metric(f"frontier/{metric_part(one.split)}", one.value, end, round(100 * one.alpha))
    unmeasured = record.settings.get("splits", {}).keys() - {one.split for one in record.measurements}
    if len(unmeasured) > 1:  # not the training split alone: also one with classes that the method cannot predict
        return
    for side, values in ood.items():
        yield Metric(f"{side}/mean_ood", fmean(values), end, 0)


def data_sets(record: TrialRecord) -> list[Any]:
    """The splits that a trial read: their names, identities and roles."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    roles = {one.split: one.role for one in record.measurements}
    return [
        DatasetInput(
            Dataset(f"{record.cell.dataset}/{split}", identity, "flyp_sweep", json.dumps({"identity": identity})),
            [InputTag("mlflow.data.context", roles.get(split, split))],
        )
        for split, identity in record.settings.get("splits", {}).items()
    ]


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
