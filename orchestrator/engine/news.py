"""Ray Tune's news of trials under way, for the recorder: a trial starts, a trial has trained an epoch."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from flyp_sweep.orchestrator.engine.work import TrialRecorder
from flyp_sweep.trainers.spec import TrialSpec


class News(tune.Callback):
    """Runs in the driver, in Tune's own loop. The searcher reports the ends of trials, for it decides on retries."""

    def __init__(self, recorder: TrialRecorder) -> None:
        self.recorder = recorder

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial's actor is up, a new one or one that has run other trials."""
        self.recorder.started(_spec(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A step has ended: an epoch, or the trial."""
        if "epoch" in result:
            self.recorder.progressed(_spec(trial), result, result.get("hostname"))

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as for the searcher: Ray pickles it, and we resume from the ledger


def _spec(trial: Trial) -> TrialSpec:
    return TrialSpec.from_json(trial.config["spec"])
