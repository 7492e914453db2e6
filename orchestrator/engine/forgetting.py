"""Trials that are over, out of Ray Tune's memory: it keeps some 40 kB of each, and all that counts is in the ledger."""

from __future__ import annotations

from typing import Any

from ray.tune.progress_reporter import TrialProgressCallback


def forget_ended(tune_controller: Any) -> None:
    """Have Tune let go of trials that have ended and have no worker any more."""
    silence(tune_controller._callbacks._callbacks)
    for ended in (tune_controller._stopped_trials, tune_controller._failed_trials):
        for trial in [trial for trial in ended if trial not in tune_controller._trial_to_actor]:
            ended.remove(trial)
            tune_controller._trials.remove(trial)
            tune_controller._trials_to_cache.discard(trial)


def silence(callbacks: list[Any]) -> None:
    """Take out the callback that prints trials: it remembers all of them, whether or not it prints any.

    One of our own in its place would keep Tune from adding it, but for any that is given Ray imports MLflow.
    """
    callbacks[:] = [callback for callback in callbacks if not isinstance(callback, TrialProgressCallback)]
