"""What an engine is given: the work of one sweep. An engine starts trials and reports how they end, no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.recorder import Recorder
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy


@dataclass(frozen=True)
class Work:
    """One sweep: the `protocol` says which trial is next, the `recorder` takes every ending.

    `checkpoints` and `weights` are as in `Settings`. `store` is the URL of a run folder in an object store, else None.
    The engine returns early once `stop` is true; `say` prints a line for the user, and `lost` ends the process when
    the engine's servers have died. `listen`, called in the main thread, takes signals back from other handlers.
    """

    space: SearchSpace
    plans: Sequence[CellPlan]
    protocol: Protocol
    recorder: Recorder
    data_root: Path
    folder: Path
    store: str | None
    checkpoints: Policy
    weights: Policy
    stop: Callable[[], bool]
    say: Callable[[str], None]
    lost: Callable[[str], None]
    listen: Callable[[], None]


class Engine(Interface):
    """Runs trials."""

    def check(self) -> None:
        """Raise InputError when the engine cannot be reached, before anything is done."""

    def run(self, work: Work) -> None:
        """Run all trials of the protocol; returns when there are no more, or when `work.stop` says so."""
