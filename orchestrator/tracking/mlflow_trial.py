"""One trial as MLflow shows it: its tags, parameters, metrics and data sets, and the columns of the list of runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flyp_sweep.orchestrator.tracking.names import shots
from flyp_sweep.orchestrator.tracking.numbers import (
    WISEFT,
    epoch_metrics,
    final_metrics,
    frontier,
    metric_part,
)
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.ledger.schema import Record, TrialRecord, encode
from flyp_sweep.search_spaces.model import SearchSpace

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

PREFIX = "flyp_sweep"
FORM = 2
"""Raised when names of metrics, parameters or tags change: runs of an earlier form are then written anew."""
LONGEST_PARAM = 500
LONGEST_TAG = 4000
EPOCHS = "epochs"
"""The tag that says how far a trial has come, e.g. `5/12`."""


def digest_of(record: TrialRecord) -> str:
    """What tells whether a run in the store was made of this record, and in this form."""
    return hashlib.sha256(b"%d" % FORM + encode(record)).hexdigest()[:32]


def trial_tags(trial: TrialRecord | RunningTrial) -> dict[str, str]:
    """Tags to filter by, which are columns too."""
    cell = trial.cell
    tags = {name: str(getattr(cell, name)) for name in ("method", "dataset", "model")}
    tags["shots"] = shots(cell)
    tags |= {name: str(getattr(trial, name)) for name in ("stage", "seed", "config_id")}
    if ingredients := trial.settings.get("ingredients"):
        tags["ingredients"] = str(len(ingredients))
    return {**tags, f"{PREFIX}.trial_id": trial.trial_id, f"{PREFIX}.kind": "trial"}


def end_tags(record: TrialRecord) -> dict[str, str]:
    """The tags that a trial has when it has ended: the digest is what marks its run as whole."""
    tags = {"status": record.status, f"{PREFIX}.record": digest_of(record)}
    if record.epochs is not None:
        has_epochs = any("train_loss" in point for point in record.curve)  # a solved method has one fit
        planned = record.settings.get("epochs", record.epochs) if has_epochs else record.epochs
        tags |= progress_tag(record.epochs, planned)
    if record.reason:
        tags["reason"] = record.reason[:LONGEST_TAG]
    return tags


def progress_tag(done: int, planned: int) -> dict[str, str]:
    """The tag that says how far a trial has come."""
    return {EPOCHS: f"{done}/{planned}"}


def epochs_in(tags: Mapping[str, str]) -> int:
    """The last epoch that the run of a trial under way holds; -1 before the first, which may have the number 0."""
    done = tags.get(EPOCHS, "").partition("/")[0]
    return int(done) if done.isdigit() else -1


def as_tags(tags: Mapping[str, str]) -> list[RunTag]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in tags.items()]


def as_params(settings: Mapping[str, Any]) -> list[Param]:
    """Settings as MLflow takes them: as text, under names without other characters than it allows."""
    from mlflow.entities import Param

    return [Param(metric_part(name), str(value)[:LONGEST_PARAM]) for name, value in settings.items()]


def curve(points: Iterable[tuple[int, Mapping[str, float]]], when: int) -> list[Metric]:
    """Numbers per epoch, all with the time `when` in ms; each point is (epoch, name -> value)."""
    from mlflow.entities import Metric

    return [Metric(name, value, when, epoch) for epoch, values in points for name, value in values.items()]


def recorded_curve(record: TrialRecord, after: int, start: int, end: int) -> Iterator[Metric]:
    """The epochs of a finished trial behind the epoch `after`, spread evenly over the time of the trial."""
    for point in record.curve:
        epoch = int(point["epoch"])
        if epoch > after:
            when = start + int((end - start) * epoch / max(1, len(record.curve)))
            yield from curve([(epoch, epoch_metrics(point))], min(when, end))


def ending(record: TrialRecord, end: int) -> Iterator[Metric]:
    """The numbers that a trial ends with, and its frontier: there the step of a number is 100 alpha."""
    from mlflow.entities import Metric

    for name, value in final_metrics(record).items():
        yield Metric(name, value, end, 0)
    for name, percent, value in frontier(record):
        yield Metric(name, value, end, percent)


def data_sets(record: TrialRecord) -> list[DatasetInput]:
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


def first_columns(space: SearchSpace, records: Iterable[Record] = ()) -> list[str]:
    """The columns that the UI's list of runs shows first, by the UI's own names of columns."""
    params: dict[str, None] = {}
    for method in space.method_names:
        params |= dict.fromkeys(space.for_method(method))
    found: dict[str, None] = {}
    for record in records:
        if isinstance(record, TrialRecord):
            primary = {one.metric for one in record.measurements if one.is_primary and one.role in ("id_test", "ood")}
            headlines = {f"{split}/{metric}" for split in ("id_test", "mean_ood") for metric in primary}
            finals = final_metrics(record)
            found |= dict.fromkeys(name for name in finals if name.removeprefix(f"{WISEFT}/") in headlines)
    metrics = ["score", *sorted(found, key=lambda name: (name.removeprefix(f"{WISEFT}/"), name))]
    place = ("method", "stage", "seed", "shots")
    return [
        "attributes.`Duration`",
        *(f"metrics.`{name}`" for name in metrics),
        *(f"params.`{name}`" for name in (*place, *params)),
        *(f"tags.`{name}`" for name in (EPOCHS, "status")),
    ]
