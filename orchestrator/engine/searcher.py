"""Ray Tune's searcher: hands out the protocol's trials, and hands their endings to the recorder."""

from __future__ import annotations

import json
from typing import Any

from ray.tune.search import Searcher

from flyp_sweep.orchestrator.engine.memory import Memory
from flyp_sweep.orchestrator.engine.packing import Packing
from flyp_sweep.orchestrator.engine.retries import Retries
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.recorder import Recorder
from flyp_sweep.trainers.spec import DIED, FAILED, TrialSpec

WORKER_DIED = {
    "status": DIED,
    "reason": "the worker died (killed, or its machine is gone)",
    "seconds": 0.0,
    "ran_short": True,  # Ray, too, kills workers where a node's memory comes to an end
}
"""The ending of a trial whose Ray worker is gone; one whose process alone died has an ending of its own."""


class ProtocolSearcher(Searcher):
    """The bridge from Ray's loop to the protocol; it runs in the driver and keeps no state of its own to save.

    A trial whose worker died is handed out again, as a new trial to Ray, when `retries` says so. `packing` says what
    each is given, and keeps back those of which that is not known yet.
    """

    def __init__(self, protocol: Protocol, recorder: Recorder, retries: Retries, packing: Packing) -> None:
        super().__init__()
        self.protocol = protocol
        self.recorder = recorder
        self.retries = retries
        self.packing = packing
        self.kept_back: TrialSpec | None = None
        self.specs: dict[str, TrialSpec] = {}
        self.epochs: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        spec = self.kept_back or self.retries.due() or self.protocol.next()
        if spec is None:
            return Searcher.FINISHED if self.protocol.done else None
        given = self.packing.give(spec)
        if given is None:
            self.kept_back = spec
            return None
        self.kept_back = None
        self.specs[trial_id] = spec
        return {"spec": spec.to_json(), "given": given}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "epoch" in result:
            self.epochs[trial_id] = result["epoch"]
        if "memory" in result:
            self.packing.took(self.specs[trial_id], Memory(**json.loads(result["memory"])))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        spec, epoch = self.specs.pop(trial_id), self.epochs.pop(trial_id, 0)
        ending = json.loads(result["ending"]) if result and "ending" in result else None
        if error:
            ending = WORKER_DIED
        if ending and ending.get("memory"):
            self.packing.took(spec, Memory(**ending["memory"]))
        if ending and ending.get("ran_short"):
            self.packing.ran_short(spec)
        self.packing.ended(spec)
        if ending is None or ending["status"] != DIED:
            self.recorder.ended(spec, ending)
        elif (pause := self.retries.again(spec, epoch)) is not None:
            self.recorder.retried(spec, ending["reason"], pause)
        else:
            failures = self.retries.failures(spec)
            times = f" ({failures} times in a row)" if failures > 1 else ""
            self.recorder.ended(spec, {**ending, "status": FAILED, "reason": ending["reason"] + times})

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles searchers to restore an experiment; ours is restored from the ledger

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass
