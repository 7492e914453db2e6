"""Ray Tune's searcher: hands out the protocol's trials, and hands their endings to the recorder."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from flyp_sweep.orchestrator.engine.retries import Retries
from flyp_sweep.orchestrator.engine.settings import ending_in
from flyp_sweep.orchestrator.engine.stacks import cause, last_words
from flyp_sweep.orchestrator.engine.work import TrialRecorder
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.trainers.spec import DIED, FAILED, TrialSpec


class ProtocolSearcher(Searcher):
    """The bridge from Ray's loop to the protocol; it runs in the driver and keeps no state of its own to save.

    A trial whose worker died is handed out again, as a new trial to Ray, when `retries` says so. `stacks` is the folder
    in which workers that hang or crash write down where they were.
    """

    def __init__(self, protocol: Protocol, recorder: TrialRecorder, retries: Retries, stacks: str | None) -> None:
        super().__init__()
        self.protocol = protocol
        self.recorder = recorder
        self.retries = retries
        self.stacks = stacks
        self.specs: dict[str, TrialSpec] = {}
        self.epochs: dict[str, int] = {}
        self.endings: dict[str, dict[str, Any]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        spec = self.retries.due() or self.protocol.next()
        if spec is None:
            return Searcher.FINISHED if self.protocol.done else None
        self.specs[trial_id] = spec
        return {"spec": spec.to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "epoch" in result:
            self.epochs[trial_id] = result["epoch"]
        if ended := ending_in(result):  # not final, else it would come with the trial's completion
            self.endings[trial_id] = ended

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial is over. Without a result and an error it was broken off."""
        spec, epoch = self.specs.pop(trial_id), self.epochs.pop(trial_id, 0)
        ended = self.endings.pop(trial_id, None) or ending_in(result or {})
        if error and ended is None:
            words = last_words(self.stacks, spec.trial_id)
            ended = {"status": DIED, "reason": cause(words), "log": words, "seconds": 0.0}
        if ended is None or ended["status"] != DIED:
            self.recorder.ended(spec, ended)
        elif (pause := self.retries.again(spec, epoch)) is not None:
            self.recorder.retried(spec, ended["reason"], pause)
        else:
            failures = self.retries.failures(spec)
            times = f" ({failures} times in a row)" if failures > 1 else ""
            self.recorder.ended(spec, {**ended, "status": FAILED, "reason": ended["reason"] + times})

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles searchers to restore an experiment; ours is restored from the ledger

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass
