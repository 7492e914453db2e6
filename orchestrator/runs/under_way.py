"""The trials that run now, in the driver: what each is, its epochs so far, and the time that the sweep has left.

Other terminals see the same as files.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from flyp_sweep.orchestrator.protocol.algorithms import planned_configs, planned_trials
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.resume import Finished
from flyp_sweep.orchestrator.runs.running_files import RunningFiles
from flyp_sweep.orchestrator.runs.time_left import SecondsLeft, TimeLeft
from flyp_sweep.results.durations import utc_now
from flyp_sweep.results.ledger.running_trials import EpochReport, PlannedCell, RunningSweep, RunningTrial
from flyp_sweep.results.ledger.schema import Stage, TrialRecord
from flyp_sweep.trainers.spec import DONE, FAILED, SEARCH, TrialSpec

SWEEP_EVERY_SECONDS = 1.0


class UnderWay:
    """Knows the trials that run now, by id, and keeps the files of them in `folder`, the run folder's `running/`.

    Files that a killed driver has left there are removed at once. `lost` is as in `Recorder`.
    """

    def __init__(self, protocol: Protocol, folder: Path, lost: Callable[[], str | None] = lambda: None) -> None:
        self.protocol = protocol
        self.files = RunningFiles(folder, lost)
        self.files.clear()
        self.trials: dict[str, RunningTrial] = {}
        self.planned = {cell.plan.cell: planned_trials(cell.plan) for cell in protocol.cells}
        """Cell -> the trials that it takes at most."""
        self.done = Counter(
            cell.plan.cell for cell in protocol.cells for trial in cell.trials if trial.trial_id in protocol.outcomes
        )
        """Cell -> its trials that have an outcome, failed ones included."""
        self._pace = TimeLeft({cell.plan.cell: cell.plan for cell in protocol.cells})
        self._at_once = 0
        self._started, self._sweep_written = utc_now(), -math.inf

    @property
    def running(self) -> list[RunningTrial]:
        """The trials that run now, in the order in which they started; a display may ask in another thread."""
        return list(self.trials.values())

    def learn(self, earlier: Iterable[Finished]) -> None:
        """Take in how long the trials of earlier runs took."""
        for one in earlier:
            if one.cell in self.planned and one.outcome.status == DONE:
                self._pace.learn(one.cell, one.seconds)

    def start(self, spec: TrialSpec) -> RunningTrial:
        """A worker takes the trial up."""
        return self._keep(trial_of(spec, self.protocol))

    def progress(self, spec: TrialSpec, reply: Mapping[str, Any], node: str | None) -> RunningTrial:
        """The trial has trained an epoch; `reply` is an `Epoch` as a mapping, with its `seconds`."""
        trial = self.trials.get(spec.trial_id) or trial_of(spec, self.protocol)
        epochs = tuple(_epochs(reply, trial))
        is_late = spec.patience is not None and reply["epoch"] - reply["best_epoch"] >= spec.patience
        planned = reply["epoch"] if is_late else trial.planned_epochs
        return self._keep(replace(trial, epochs=epochs, node=node, planned_epochs=planned, updated=utc_now()))

    def finish(self, record: TrialRecord) -> None:
        """The trial has an outcome; `end` follows."""
        self.done[record.cell] += 1
        if record.status != FAILED:
            self._pace.learn(record.cell, record.seconds, record.epochs)

    def end(self, trial_id: str) -> None:
        """The trial no longer runs, for whatever reason."""
        self.trials.pop(trial_id, None)
        self.files.remove(trial_id)
        self._write_sweep()

    def time_left(self) -> SecondsLeft:
        """How long the sweep will still take, for as many trials at once as have run at once so far."""
        trials = self.running
        running = Counter(trial.cell for trial in trials)
        open_cells = [cell.plan.cell for cell in self.protocol.cells if not cell.over]
        waiting = {cell: max(0, self.planned[cell] - self.done[cell] - running[cell]) for cell in open_cells}
        return self._pace.estimate(waiting, trials, self._at_once)

    def close(self) -> None:
        """No trial runs any more."""
        self.trials.clear()
        self.files.clear()

    def _keep(self, trial: RunningTrial) -> RunningTrial:
        self.trials[trial.trial_id] = trial
        self._at_once = max(self._at_once, len(self.trials))
        self.files.write(trial)
        self._write_sweep()
        return trial

    def _write_sweep(self) -> None:
        """Write what is known of the whole sweep, unless that was done a moment ago: a sweep may have 1,000 cells."""
        if time.monotonic() - self._sweep_written < SWEEP_EVERY_SECONDS:
            return
        self._sweep_written = time.monotonic()
        left = self.time_left()
        cells = tuple(PlannedCell(cell=cell, trials=trials) for cell, trials in self.planned.items())
        self.files.write_sweep(
            RunningSweep(
                started=self._started,
                updated=utc_now(),
                cells=cells,
                seconds_left=left.seconds,
                at_least=left.at_least,
            )
        )


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
        started=utc_now(),
        updated=utc_now(),
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


def _epochs(reply: Mapping[str, Any], trial: RunningTrial) -> Iterator[EpochReport]:
    """The epochs in the curve of a reply."""
    known = {one.epoch: one.seconds for one in trial.epochs}
    for point in reply["curve"]:
        metrics = {name: value for name, value in point.items() if name not in ("epoch", "loss", "train_loss")}
        epoch = int(point["epoch"])
        yield EpochReport(
            epoch=epoch,
            score=metrics.get(trial.metric, reply["score"]),
            loss=point["loss"],
            train_loss=point.get("train_loss"),
            seconds=known.get(epoch, round(reply["seconds"], 3) if epoch == reply["epoch"] else None),
            metrics=metrics,
        )
