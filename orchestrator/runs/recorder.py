"""Records every finished trial: into the ledger first, then to the protocol and the listeners."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, cast
from typing import Protocol as Interface

from flyp_sweep import __version__
from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.orchestrator.runs.under_way import UnderWay, other_settings
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.results.durations import utc_now
from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.ledger.schema import (
    AlphaRecord,
    Line,
    SelectionRecord,
    SplitRecord,
    Stage,
    SupersededRecord,
    TrialRecord,
)
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.spec import FAILED, REPEAT, STOPPED, UNREADABLE, TrialSpec

log = logging.getLogger(__name__)

VERSIONS = ("torch", "torchvision", "open_clip_torch", "ray", "optuna")


class Listener(Interface):
    """Is told of a sweep's progress, in the driver's thread: it must be quick. What it raises goes to the log.

    A trial is `started` once for each attempt, then it has `progressed` after each epoch. `trial.epochs` holds all
    epochs so far, so a listener may skip some. `finished` ends it. An attempt that dies ends with `retried`. A trial
    that is broken off (the sweep is interrupted, or its data cannot be read) has no end: listeners see to such trials
    when the sweep ends.
    """

    def started(self, trial: RunningTrial) -> None: ...

    def progressed(self, trial: RunningTrial) -> None: ...

    def finished(self, record: TrialRecord) -> None: ...

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None: ...

    def selected(self, selection: Selection) -> None: ...


@dataclass
class Recorder:
    """The only writer of the ledger; it also reports outcomes to the protocol.

    `trouble` holds what a user has to mend before the sweep can be completed. `broken` is set once the ledger cannot be
    written, or belongs to another driver (`lost` returns a line that says so): later endings are ignored. `under_way`
    knows the trials that run now.
    """

    ledger: Ledger
    protocol: Protocol
    running: TrialFiles
    weights: TrialFiles
    listeners: Sequence[Listener] = ()
    lost: Callable[[], str | None] = lambda: None
    under_way: UnderWay = field(kw_only=True)
    trouble: list[str] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self._stops: dict[str, Mapping[str, Any]] = {}
        libraries = {name: version(name) for name in VERSIONS}
        self._versions = {"flyp-sweep": __version__, **libraries, "python": platform.python_version()}

    def write_selections(self, selections: Sequence[Selection], known: Mapping[Cell, SelectionRecord]) -> None:
        """Append the selections that are not the `known` last one of their cell."""
        for selection in selections:
            if known.get(selection.plan.cell) != selection.record:
                self._write_selection(selection)

    def supersede(self, trials: Sequence[str], because: Sequence[str]) -> None:
        """Append that these finished trials no longer count, so that no later start asks about them again."""
        self._append(SupersededRecord(trials=list(trials), because=list(because)))

    def started(self, spec: TrialSpec) -> None:
        """A worker takes the trial up, for the first time or again."""
        trial = self.under_way.start(spec)
        self._tell(lambda listener: listener.started(trial))

    def progressed(self, spec: TrialSpec, epoch: Mapping[str, Any], node: str | None) -> None:
        """The trial has trained an epoch: `epoch` is the reply of its worker, which runs on `node`."""
        trial = self.under_way.progress(spec, epoch, node)
        self._tell(lambda listener: listener.progressed(trial))

    def stopped_by_scheduler(self, spec: Mapping[str, Any], epoch: Mapping[str, Any]) -> None:
        """Note that the scheduler stops this trial after `epoch`; its end follows in `ended`."""
        self._stops[TrialSpec.from_json(spec).trial_id] = {
            "status": STOPPED,
            "seconds": epoch["time_total_s"],
            "result": {name: epoch[name] for name in ("score", "loss", "best_epoch", "curve", "notes")}
            | {"epochs": epoch["epoch"], "metric": None, "alpha": None, "evaluations": []},
        }

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None:
        """The trial has died and will be started again after `pause` seconds."""
        self.under_way.end(spec.trial_id)
        self._tell(lambda listener: listener.retried(spec, reason, pause))

    def ended(self, spec: TrialSpec, ending: Mapping[str, Any] | None) -> None:
        """Take in the end of a trial: ledger, protocol, listeners, in this order. None: it was broken off."""
        try:
            self._end(spec, ending)
        finally:  # a trial that has ended is in the ledger before it is gone from the running ones
            self.under_way.end(spec.trial_id)

    def _end(self, spec: TrialSpec, ending: Mapping[str, Any] | None) -> None:
        if self.broken:
            return
        ending = self._stops.pop(spec.trial_id, None) or ending
        if ending is None:
            return  # interrupted: no result, so nothing to keep; the next run takes the trial up again
        if ending["status"] == UNREADABLE:
            self.trouble.append(ending["reason"])
            self.protocol.give_up(spec.trial_id)
            return
        record = self._record(spec, ending)
        if not self._append(record):
            return
        if record.status != FAILED:  # it may yet be taken up again
            self.running.forget(spec.trial_id)
        selections = self.protocol.finish(Outcome.of(record))
        self.under_way.finish(record)
        self._tell(lambda listener: listener.finished(record))
        for selection in selections:
            self._write_selection(selection)
        if spec.stage == REPEAT:
            for trial_id in self.protocol.unneeded(spec):
                self.weights.forget(trial_id)

    def _write_selection(self, selection: Selection) -> None:
        if self._append(selection.record):
            self._tell(lambda listener: listener.selected(selection))

    def _tell(self, news: Callable[[Listener], None]) -> None:
        """Tell every listener; one that raises harms neither the others nor the ledger."""
        for listener in self.listeners:
            try:
                news(listener)
            except Exception:
                log.exception("%s cannot take in what has happened", type(listener).__name__)

    def _append(self, record: Line) -> bool:
        """Whether the record is in the ledger; if not, the sweep has to end."""
        if reason := self.lost():
            self.broken = True
            self.trouble.append(reason)
            return False
        try:
            self.ledger.append(record)
        except OSError as error:
            self.broken = True
            self.trouble.append(
                f"{self.ledger.path}: cannot be written ({error.strerror or error}); free space or mend the folder"
            )
        return not self.broken

    def _record(self, spec: TrialSpec, ending: Mapping[str, Any]) -> TrialRecord:
        """The ledger's line: what was run, how the trial ended, what came out."""
        result = dict(ending.get("result") or {})
        evaluations = result.pop("evaluations", [])
        return TrialRecord(
            trial_id=spec.trial_id,
            cell=spec.cell,
            stage=cast(Stage, spec.stage),
            seed=spec.seed,
            hparams=dict(spec.hparams),
            config_id=spec.config_id,
            settings=other_settings(spec),
            status=ending["status"],
            reason=ending.get("reason"),
            **result,
            evaluations=[AlphaRecord(at["alpha"], [SplitRecord(**one) for one in at["splits"]]) for at in evaluations],
            log=ending.get("log"),
            seconds=round(ending["seconds"], 3),
            finished=utc_now(),
            versions=self._versions,
            machine=ending.get("machine"),
        )
