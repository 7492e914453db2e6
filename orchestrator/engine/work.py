"""What an engine is given: the work of one sweep. An engine starts trials and reports how they end, no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.spec import TrialSpec


class TrialRecorder(Interface):
    """Takes what becomes of trials, in the driver's thread; `runs.recorder` writes it into the ledger."""

    def started(self, spec: TrialSpec) -> None:
        """A worker takes the trial up, for the first time or again."""

    def progressed(self, spec: TrialSpec, epoch: Mapping[str, Any], node: str | None) -> None:
        """The trial has trained an epoch: `epoch` is the `Reply` of its worker on `node` (None: unknown)."""

    def stopped_by_scheduler(self, spec: Mapping[str, Any], epoch: Mapping[str, Any]) -> None:
        """The scheduler stops this trial after `epoch`, a reply of its worker; `ended` follows."""

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None:
        """The trial has died and will be started again after `pause` seconds."""

    def ended(self, spec: TrialSpec, ending: Mapping[str, Any] | None) -> None:
        """The trial is over, as `ending` tells (see `settings.ending`). None: it was broken off and has no result."""


@dataclass(frozen=True)
class Work:
    """One sweep: the `protocol` says which trial is next, the `recorder` takes every ending.

    `checkpoints`, `weights` and `predictions` are as in `Settings`. `store` is the URL of a run folder in an object
    store, else None. The engine returns early once `stop` is true; `say` and `warn` print a line for the user, and
    `give_up` ends the process when the engine's servers have died. `listen`, called in the main thread, takes signals
    back from other handlers.
    """

    space: SearchSpace
    plans: Sequence[CellPlan]
    protocol: Protocol
    recorder: TrialRecorder
    data_root: Path
    folder: Path
    store: str | None
    checkpoints: Policy
    weights: Policy
    predictions: PredictionFiles
    stop: Callable[[], bool]
    say: Callable[[str], None]
    warn: Callable[[str], None]
    give_up: Callable[[str], None]
    listen: Callable[[], None]


class Engine(Interface):
    """Runs trials."""

    def check(self) -> None:
        """Raise InputError when the engine cannot be reached, before anything is done."""

    def run(self, work: Work) -> None:
        """Run all trials of the protocol; returns when there are no more, or when `work.stop` says so."""
