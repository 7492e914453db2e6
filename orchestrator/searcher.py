"""Ray Tune's searcher: hands out the protocol's trials, and hands their endings to the recorder."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from orchestrator.protocol import Protocol
from orchestrator.recorder import Recorder
from trainers.spec import TrialSpec


class ProtocolSearcher(Searcher):
    """The bridge from Ray's loop to the protocol; it runs in the driver and keeps no state of its own to save."""

    def __init__(self, protocol: Protocol, recorder: Recorder) -> None:
        super().__init__()
        self.protocol = protocol
        self.recorder = recorder
        self.specs: dict[str, TrialSpec] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        spec = self.protocol.next()
        if spec is None:
            return Searcher.FINISHED if self.protocol.done else None
        self.specs[trial_id] = spec
        return {"spec": spec.to_json()}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.recorder.ended(self.specs.pop(trial_id), result, crashed=error)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles searchers to restore an experiment; ours is restored from the ledger

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass
