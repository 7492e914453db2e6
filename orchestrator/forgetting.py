"""Trials that are over, out of Ray Tune's memory: it keeps some 40 kB of each, and all that counts is in the ledger."""

from __future__ import annotations

from typing import Any

from ray.tune.progress_reporter import TrialProgressCallback


def forget_ended(tune_controller: Any) -> None:
    """Have Tune's controller let go of trials that have ended and have no worker any more."""
    for ended in (tune_controller._stopped_trials, tune_controller._failed_trials):
        for trial in [trial for trial in ended if trial not in tune_controller._trial_to_actor]:
            ended.remove(trial)
            tune_controller._trials.remove(trial)
            tune_controller._trials_to_cache.discard(trial)


class NothingToSay(TrialProgressCallback):
    """Takes the place of Tune's own, which remembers all trials whether or not it prints any."""

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        """Nothing: the recorder writes what there is to say."""

    on_trial_error = on_trial_complete = on_trial_result
