"""The trials that run now, in the driver: what each is, and its epochs so far. Other terminals see them as files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from flyp_sweep.orchestrator.protocol.algorithms import planned_configs
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.running_files import RunningFiles
from flyp_sweep.results.ledger.running_trials import EpochReport, RunningTrial
from flyp_sweep.results.ledger.schema import Stage
from flyp_sweep.trainers.spec import SEARCH, TrialSpec


class UnderWay:
    """Knows the trials that run now, by id, and keeps the files of them in `folder`, the run folder's `running/`.

    Files that a killed driver has left there are removed at once.
    """

    def __init__(self, protocol: Protocol, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.protocol = protocol
        self.files = RunningFiles(folder)
        self.files.clear()
        self.clock = clock
        self.trials: dict[str, RunningTrial] = {}
        self._last_news: dict[str, float] = {}

    def start(self, spec: TrialSpec) -> RunningTrial:
        """A worker takes the trial up."""
        self._last_news[spec.trial_id] = self.clock()
        return self._keep(trial_of(spec, self.protocol))

    def progress(self, spec: TrialSpec, reply: Mapping[str, Any], node: str | None) -> RunningTrial:
        """The trial has trained an epoch; `reply` is an `Epoch` as a mapping."""
        now, trial = self.clock(), self.trials.get(spec.trial_id) or trial_of(spec, self.protocol)
        seconds = now - self._last_news.get(spec.trial_id, now)
        self._last_news[spec.trial_id] = now
        epochs = tuple(_epochs(reply, trial, seconds))
        is_late = spec.patience is not None and reply["epoch"] - reply["best_epoch"] >= spec.patience
        planned = reply["epoch"] if is_late else trial.planned_epochs
        return self._keep(replace(trial, epochs=epochs, node=node, planned_epochs=planned))

    def end(self, trial_id: str) -> None:
        """The trial no longer runs, for whatever reason."""
        self.trials.pop(trial_id, None)
        self._last_news.pop(trial_id, None)
        self.files.remove(trial_id)

    def close(self) -> None:
        """No trial runs any more."""
        self.trials.clear()
        self.files.clear()

    def _keep(self, trial: RunningTrial) -> RunningTrial:
        self.trials[trial.trial_id] = trial
        self.files.write(trial)
        return trial


def trial_of(spec: TrialSpec, protocol: Protocol) -> RunningTrial:
    """A trial that starts now, before its first epoch."""
    plan = protocol.plan_of(spec.cell)
    return RunningTrial(
        trial_id=spec.trial_id,
        cell=spec.cell,
        stage=cast(Stage, spec.stage),
        seed=spec.seed,
        hparams=dict(spec.hparams),
        config_id=spec.config_id,
        config=protocol.config_number(spec),
        configs=planned_configs(plan) if spec.stage == SEARCH else None,
        metric=plan.data.metric,
        planned_epochs=planned_epochs(plan, spec),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=other_settings(spec),
    )


def other_settings(spec: TrialSpec) -> dict[str, Any]:
    """The settings of a trial that have no field of their own in a record."""
    settings = spec.to_json()
    for name in ("cell", "stage", "seed", "hparams"):
        del settings[name]
    return settings


def planned_epochs(plan: CellPlan, spec: TrialSpec) -> int:
    """How often the trial reports at most: after each epoch, or after each member of a soup that tries its members."""
    if plan.is_soup:
        assert plan.ensemble is not None
        return len(spec.members) if plan.ensemble.tries_members else 1
    return spec.epochs if plan.method.trained else 1


def _epochs(reply: Mapping[str, Any], trial: RunningTrial, seconds: float) -> Iterator[EpochReport]:
    """The epochs in the curve of a reply; `seconds` is the time that the last one took."""
    known = {one.epoch: one.seconds for one in trial.epochs}
    for point in reply["curve"]:
        metrics = {name: value for name, value in point.items() if name not in ("epoch", "loss", "train_loss")}
        epoch = int(point["epoch"])
        yield EpochReport(
            epoch=epoch,
            score=metrics.get(trial.metric, reply["score"]),
            loss=point["loss"],
            train_loss=point.get("train_loss"),
            seconds=known.get(epoch, round(seconds, 3) if epoch == reply["epoch"] else None),
            metrics=metrics,
        )
