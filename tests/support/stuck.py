"""A trial that never gets through its first epoch, and a worker that runs it."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine.team import Team
from flyp_sweep.orchestrator.engine.trial_process import Settings
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.spec import TrialSpec

BUSY = "FLYP_SWEEP_TEST_BUSY"


class Stuck(FineTuning):
    """FT that leaves its pid in the file that the environment names, and then does nothing."""

    name = "stuck"

    def fit(self, task: Any) -> Generator[Any, None, Any]:
        Path(os.environ[BUSY]).write_text(str(os.getpid()))
        time.sleep(1000)
        return (yield from super().fit(task))


def worker(pipe: Connection, settings: Settings, spec: TrialSpec) -> None:
    """Run a step of a trial."""
    team = Team(settings)
    team.begin(spec)
    team.step()
