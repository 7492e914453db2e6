"""What stops trials: an ASHA per cell stops those of its search, nothing stops repeats, and the user stops them all.

The scheduler also sees when trials start and how their epochs end, and tells the recorder. A `tune.Callback` would see
the same, but Ray imports MLflow into the driver where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from flyp_sweep.orchestrator.engine.work import TrialRecorder
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.spec import SEARCH, TrialSpec


class CellScheduler(FIFOScheduler):
    """Runs trials in the order in which they came, and lets each cell's own ASHA stop weak search trials.

    Two cells never meet in one ASHA: accuracies of different data sets, shots or methods do not compare. `at_once` is
    the number of trials that run at once.
    """

    def __init__(self, space: SearchSpace, recorder: TrialRecorder, at_once: int) -> None:
        super().__init__()
        self.space = space
        self.recorder = recorder
        self.at_once = at_once
        self.brackets: dict[Cell, ASHAScheduler] = {}
        self.unfinished: list[Trial] = []  # in the order in which they came
        self.started: set[str] = set()  # of the unfinished ones

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial for a worker that is free: the first that waits and for which no worker is starting.

        Ray Tune would give the free worker a trial whose own worker is starting, and end the latter: where trials are
        shorter than a start, one worker would do all the work. Workers start in the order of the trials, and one is
        starting for every place that neither a trial nor the free worker has.
        """
        self.unfinished = [trial for trial in self.unfinished if not trial.is_finished()]
        self.started.intersection_update(trial.trial_id for trial in self.unfinished)
        for trial in self.unfinished:
            if trial.status == Trial.RUNNING:
                self._note_start(trial)
        pending = [trial for trial in self.unfinished if trial.status == Trial.PENDING]
        running = len(self.unfinished) - len(pending)
        starting = max(0, self.at_once - running - 1)
        return pending[min(starting, len(pending) - 1)] if pending else None

    def bracket(self, trial: Trial) -> FIFOScheduler:
        """The ASHA that may stop this trial; for a repeat, or where the space asks for none, what stops nothing."""
        spec = TrialSpec.from_json(trial.config["spec"])
        if self.space.scheduler.name != "asha" or spec.stage != SEARCH:
            return FIFOScheduler()
        if spec.cell not in self.brackets:
            self.brackets[spec.cell] = ASHAScheduler(
                time_attr="epoch",
                metric="score",
                mode="max",
                max_t=spec.epochs,
                grace_period=self.space.scheduler.grace_epochs,
                reduction_factor=self.space.scheduler.reduction_factor,
            )
        return self.brackets[spec.cell]

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.unfinished.append(trial)
        self.bracket(trial).on_trial_add(tune_controller, _ours(trial))

    def _note_start(self, trial: Trial) -> None:
        """Tell the recorder, once, that the worker of the trial is up. Tune's loop asks again and again."""
        if trial.trial_id not in self.started:
            self.started.add(trial.trial_id)
            self.recorder.started(TrialSpec.from_json(trial.config["spec"]))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        self._note_start(trial)
        if "epoch" in result:
            self.recorder.progressed(TrialSpec.from_json(trial.config["spec"]), result, result.get("hostname"))
        decision = self.bracket(trial).on_trial_result(tune_controller, _ours(trial), result)
        if result.get("epoch") == trial.config["spec"]["epochs"]:
            return TrialScheduler.CONTINUE  # it has trained to its end: there is nothing to stop, and it may win
        if decision == TrialScheduler.STOP:
            self.recorder.stopped_by_scheduler(trial.config["spec"], result)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self.bracket(trial).on_trial_complete(tune_controller, _ours(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self.bracket(trial).on_trial_remove(tune_controller, _ours(trial))

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as for the searcher: Ray pickles it, and we resume from the ledger


class OnRequest(Stopper):
    """Ends the whole run once `asked()` is true. The scheduler alone stops a trial for its results."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self.asked = asked

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.asked()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _ours(trial: Trial) -> Any:
    """What ASHA knows a trial by: started again, it is a new one to Ray, but has its place in the rungs already."""
    return SimpleNamespace(trial_id=TrialSpec.from_json(trial.config["spec"]).trial_id)
