"""A sweep in MLflow: what the ledger and the running trials hold, made to be browsed."""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flyp_sweep.orchestrator.tracking.kept_models import KeptModels
from flyp_sweep.orchestrator.tracking.mlflow_trial import (
    PREFIX,
    as_params,
    as_tags,
    curve,
    data_sets,
    digest_of,
    end_tags,
    ending,
    epochs_in,
    first_columns,
    progress_tag,
    recorded_curve,
    trial_tags,
)
from flyp_sweep.orchestrator.tracking.names import flat, trial_name, trial_settings
from flyp_sweep.orchestrator.tracking.numbers import report_metrics, sweep_metrics
from flyp_sweep.orchestrator.tracking.places import ARTIFACTS, follow_moved_store, place_artifacts
from flyp_sweep.orchestrator.tracking.uris import default_uri, sqlite_file
from flyp_sweep.results.analysis.evidence import evidence_of
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.running_trials import RunningTrial, read_running
from flyp_sweep.results.ledger.schema import Record, TrialRecord
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

VIEW = "flyp_sweep"
"""The key of the UI's shared view, kept in a tag of the experiment, that shows a sweep's columns."""
METRICS_PER_BATCH = 900
PARAMS_PER_BATCH = 100
DEFAULT_EXPERIMENT = "Default"


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
    """A trial in the store: its run there, its status, its start and end in ms, and the last epoch that the run holds.

    `digest` is that of the record which the run was made of; empty: no record has ended the run.
    """

    run_id: str
    status: str
    start: int
    end: int = 0
    digest: str = ""
    epochs: int = -1


class MlflowLogger:
    """One sweep in one MLflow store: an experiment per search space, a parent run, a child run per trial.

    The parent is found by the run folder's identity, whatever the folder is called and wherever it lies; a child by its
    trial id. Every write is idempotent: a run that was made of the same record is left alone. A trial under way has a
    RUNNING run, which gets its epochs, and is completed by the trial's record.
    """

    def __init__(self, uri: str, experiment: str, folder: RunFolder) -> None:
        quiet_environment()
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces every table it makes
        self.folder = folder
        self.space = load(str(folder.space))
        self.added = self.replaced = 0
        self._file = sqlite_file(uri)
        if self._file is not None and self._file.is_file():
            follow_moved_store(self._file)
        self.client: MlflowClient = MlflowClient(tracking_uri=uri)
        self._is_ours = uri == default_uri(folder.path)
        self.experiment = self._experiment(experiment)
        self.parent = self._parent()
        self._taken_up: set[str] = set()
        self._show_columns()

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
        if self._is_ours:
            self._hide_default()
        location = (self._file.resolve().parent / ARTIFACTS).as_uri() if self._file else None
        # The kind makes the UI open on runs and charts; it opens on language-model traces else.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return self.client.create_experiment(name, artifact_location=location, tags=tags)

    def _hide_default(self) -> None:
        """Delete the experiment that MLflow makes in every new store, if nobody has used it."""
        default = self.client.get_experiment_by_name(DEFAULT_EXPERIMENT)
        if default is None or default.lifecycle_stage != "active":
            return
        if not self.client.search_runs([default.experiment_id], max_results=1):
            self.client.delete_experiment(default.experiment_id)

    def _parent(self) -> str:
        """The parent run. In a store on this machine, one of a run that lay in this very folder before goes.

        A parent whose parameters are no longer those of the search space, which MLflow cannot change, is replaced.
        """
        place = self.folder.path.resolve()
        settings = as_params(dict(flat(self.space.model_dump(mode="json", exclude_none=True))))
        parent: Any = None
        for run in list(self._search(f"tags.`{PREFIX}.kind` = 'sweep'")):
            if run.data.tags.get(f"{PREFIX}.id") == self.folder.identity:
                parent = run
            elif self._file is not None and run.data.tags.get(f"{PREFIX}.folder") == str(place):
                self._delete_sweep(run.info.run_id)
        if parent is None or parent.data.params != {one.key: one.value for one in settings}:
            run_id = self._new_parent(settings, parent)
        else:
            run_id = parent.info.run_id
        for name, value in self._parent_tags().items():  # the folder may have moved
            self.client.set_tag(run_id, name, value)
        if self._file is not None:
            place_artifacts(self._file, run_id, place / "mlflow")
        return run_id

    def _parent_tags(self) -> dict[str, str]:
        place = str(self.folder.path.resolve())
        tags = {"sweep": self.folder.name, "id": self.folder.identity, "folder": place, "kind": "sweep"}
        named = {f"{PREFIX}.{name}": value for name, value in tags.items()}
        return named | {"mlflow.runName": self.folder.name} | self._source

    def _new_parent(self, settings: Sequence[Param], before: Any) -> str:
        """A parent run that begins no later than its trials; those of the parent `before` it become its children."""
        start = before.info.start_time if before else min([now(), *self._starts()])
        run_id: str = self.client.create_run(self.experiment, start, self._parent_tags()).info.run_id
        self._log(run_id, params=settings)
        if before:
            for run in list(self._search(f"tags.mlflow.parentRunId = '{before.info.run_id}'")):
                self.client.set_tag(run.info.run_id, "mlflow.parentRunId", run_id)
            self.client.delete_run(before.info.run_id)
        return run_id

    def _starts(self) -> Iterator[int]:
        """When the trials started that there are, in ms."""
        records: list[Record] = []
        with contextlib.suppress(InputError):  # who needs the records themselves tells of a ledger that is malformed
            records = self.folder.ledger.load()
        for record in records:
            if isinstance(record, TrialRecord):
                yield milliseconds(record.finished) - int(record.seconds * 1000)
        yield from (milliseconds(trial.started) for trial in read_running(self.folder.running))

    @cached_property
    def _source(self) -> dict[str, str]:
        """What MLflow's columns Source and User show."""
        source = {"mlflow.source.name": "flyp-sweep", "mlflow.source.type": "LOCAL"}
        with contextlib.suppress(OSError, KeyError):  # a user id without a name, as containers have
            source["mlflow.user"] = getpass.getuser()
        return source

    def _delete_sweep(self, parent: str) -> None:
        for run in list(self._search(f"tags.mlflow.parentRunId = '{parent}'")):
            self.client.delete_run(run.info.run_id)
        self.client.delete_run(parent)

    def _known_trials(self) -> Iterator[tuple[str, Known]]:
        for run in self._search(f"tags.mlflow.parentRunId = '{self.parent}'"):
            info, tags = run.info, run.data.tags
            if trial_id := tags.get(f"{PREFIX}.trial_id"):
                digest = tags.get(f"{PREFIX}.record", "") if info.status != "RUNNING" else ""
                times = info.start_time, info.end_time or 0
                yield trial_id, Known(info.run_id, info.status, *times, digest, epochs_in(tags))
            else:  # half-written by a driver that died: written anew
                self.client.delete_run(info.run_id)

    def _search(self, condition: str) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self.client.search_runs([self.experiment], condition, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def show(self, trial: RunningTrial) -> None:
        """Have a RUNNING run of a trial under way, with its epochs so far.

        The run of a finished trial stays, also while the trial is evaluated on more; that of a failed one goes.
        """
        if not self._taken_up:
            self.client.update_run(self.parent, status="RUNNING")
        start = milliseconds(trial.started)
        known = self.trials.get(trial.trial_id)
        if known is not None and known.digest:
            has_just_ended = start < known.end + 1000  # ends are recorded in whole seconds
            if has_just_ended or known.status != "FAILED":
                return
            self.client.delete_run(self.trials.pop(trial.trial_id).run_id)
            known = None
        if known is None:
            known = self.trials[trial.trial_id] = self._begin(trial, start)
        elif trial.trial_id not in self._taken_up and known.status != "RUNNING":
            self.client.update_run(known.run_id, status="RUNNING")
        self._taken_up.add(trial.trial_id)
        if new := [one for one in trial.epochs if one.epoch > known.epochs]:
            points = [(one.epoch, report_metrics(one)) for one in new]
            done = progress_tag(trial.done, trial.planned_epochs)
            self._log(known.run_id, curve(points, now()))
            self.client.log_batch(known.run_id, tags=as_tags(done))
            self.trials[trial.trial_id] = replace(known, status="RUNNING", epochs=trial.done)

    def add(self, record: TrialRecord, *, is_last: bool = True) -> None:
        """Mirror one trial of the ledger, in the place of a run that was made of another record of it.

        `is_last`: the ledger has no later record of the trial. Without this a run of a later record stays.
        """
        digest, end = digest_of(record), milliseconds(record.finished)
        known = self.trials.get(record.trial_id)
        if known is not None and known.digest:
            if known.digest == digest or (not is_last and known.end > end):
                return
            self.client.delete_run(known.run_id)
            del self.trials[record.trial_id]
            self.replaced += 1
        elif known is not None and not is_last and end + 1000 <= known.start:
            return  # an earlier outcome of a trial that runs again
        else:
            self.added += 1
        self._write(record, end)

    def _write(self, record: TrialRecord, end: int) -> None:
        """Complete the run of a trial, or write a new one; none is left behind where the store refuses a part of it."""
        start = end - int(record.seconds * 1000)
        known = self.trials.get(record.trial_id)
        try:
            known = known or self._begin(record, start)
            metrics = [*recorded_curve(record, known.epochs, start, end), *ending(record, end)]
            self._log(known.run_id, metrics)
            self.client.log_inputs(known.run_id, data_sets(record))
            tags = end_tags(record)
            self.client.log_batch(known.run_id, tags=as_tags(tags))
            status = "FAILED" if record.status == "failed" else "FINISHED"
            self.client.set_terminated(known.run_id, status, end)
        except Exception:
            self.trials.pop(record.trial_id, None)
            if known is not None:
                with contextlib.suppress(Exception):
                    self.client.delete_run(known.run_id)
            raise
        self.trials[record.trial_id] = replace(known, status=status, end=end, digest=digest_of(record))

    def _begin(self, trial: TrialRecord | RunningTrial, start: int) -> Known:
        """A new child run with all that is known of a trial before its first epoch."""
        name = trial_name(self.space, trial.cell, trial.hparams, trial.seed)
        tags = {"mlflow.parentRunId": self.parent, **trial_tags(trial), **self._source}
        run_id: str = self.client.create_run(self.experiment, start, tags, name).info.run_id
        settings = trial_settings(trial.cell, trial.stage, trial.seed, trial.hparams, trial.settings)
        try:
            self._log(run_id, params=as_params(settings))
        except Exception:
            with contextlib.suppress(Exception):
                self.client.delete_run(run_id)
            raise
        return Known(run_id, "RUNNING", start)

    def _log(self, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Param] = ()) -> None:
        """Send metrics and parameters in as many batches as MLflow needs."""
        for at in range(0, len(params), PARAMS_PER_BATCH):
            self.client.log_batch(run_id, params=params[at : at + PARAMS_PER_BATCH])
        for at in range(0, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics[at : at + METRICS_PER_BATCH])

    def finish(self, description: str, *, complete: bool) -> None:
        """Put the means, report, tables and figures of the run, and the summary table, on the parent run.

        Trials that the ledger lacks go; of an incomplete run, those that were broken off stay as KILLED. Raises
        InputError where the ledger cannot be read.
        """
        self.client.set_tag(self.parent, "mlflow.note.content", description)
        self._log_files()
        records = self.folder.ledger.load()
        self._end_broken_off(records, complete=complete)
        ends = [milliseconds(one.finished) for one in records if isinstance(one, TrialRecord)]
        end = max(ends, default=now())
        self.client.set_terminated(self.parent, "FINISHED" if complete else "KILLED", end)
        self._log_means(records, end)
        trials = [one for one in records if isinstance(one, TrialRecord) and one.trial_id in self.trials]
        KeptModels(self).mirror([one for one in trials if one.stage == "repeat" and one.status == "done"])
        self._show_columns(records)

    def _log_files(self) -> None:
        for file in (self.folder.space, self.folder.report):
            if file.is_file():
                self.client.log_artifact(self.parent, str(file))
        for part in (self.folder.tables, self.folder.figures):
            if part.is_dir():
                self.client.log_artifacts(self.parent, str(part), part.name)

    def _end_broken_off(self, records: Sequence[Record], *, complete: bool) -> None:
        """End or delete the runs of trials that the ledger lacks."""
        for trial_id in self.trials.keys() - {one.trial_id for one in records if isinstance(one, TrialRecord)}:
            known = self.trials[trial_id]
            if complete or known.digest:
                self.client.delete_run(self.trials.pop(trial_id).run_id)
            elif known.status == "RUNNING":
                self.client.set_terminated(known.run_id, "KILLED")
                self.trials[trial_id] = replace(known, status="KILLED")

    def _log_means(self, records: Sequence[Record], when: int) -> None:
        """The means over repeats, at the time of the last record: the same means are not written again."""
        from mlflow.entities import Metric

        means = sweep_metrics(evidence_of(records, self.folder.name), self.space)
        self._log(self.parent, [Metric(name, value, when, 0) for name, value in means.items()])

    def _show_columns(self, records: Sequence[Record] = ()) -> None:
        columns = json.dumps({"selectedColumns": first_columns(self.space, records)})
        self.client.set_experiment_tag(self.experiment, f"mlflow.sharedViewState.{VIEW}", columns)


def now() -> int:
    """The time in ms, as MLflow counts it."""
    return int(time.time() * 1000)


def milliseconds(iso: str) -> int:
    """A time in ISO form in ms."""
    return int(datetime.fromisoformat(iso).timestamp() * 1000)
