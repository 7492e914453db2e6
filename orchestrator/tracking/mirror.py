"""The MLflow mirror, the driver's side: a process that follows the run folder and never leads it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from functools import cached_property
from typing import Any

from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.trainers.spec import TrialSpec


class Mirror:
    """Keeps MLflow up to date from a process of its own, so that neither the driver nor a trial ever waits for it.

    The process (`mirror_process`) reads the ledger and the files of the running trials, and ends when the driver does.
    It gets its task over stdin: a URI may hold a password, which a command line would show.

    As a listener of the recorder the mirror starts the process when the first trial starts. All later news reaches the
    process through the run folder.
    """

    def __init__(self, uri: str, experiment: str, folder: RunFolder) -> None:
        self._what = {"uri": uri, "experiment": experiment, "path": str(folder.path.resolve())}

    def started(self, trial: RunningTrial) -> None:
        _ = self._process

    def progressed(self, trial: RunningTrial) -> None:
        pass

    def finished(self, record: TrialRecord) -> None:
        _ = self._process

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None:
        pass

    def selected(self, selection: Selection) -> None:
        pass

    def close(self, description: str, *, complete: bool) -> str | None:
        """Let the mirror catch up for some seconds, then finish the parent run; returns the trouble, if any."""
        self._tell(self._process, {"description": description, "complete": complete})
        told, _ = self._process.communicate()
        if self._process.returncode or not told:
            return f"the process that writes it ended with code {self._process.returncode}"
        behind: str | None = json.loads(told)
        return behind

    def leave(self) -> None:
        """End what is shown of a sweep that was interrupted before any trial ended."""
        if "_process" in vars(self):
            self.close("", complete=False)

    @cached_property
    def _process(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flyp_sweep.orchestrator.tracking.mirror_process"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the driver, which closes its mirror when the outputs are written
        )
        self._tell(process, self._what)
        return process

    @staticmethod
    def _tell(process: subprocess.Popen[str], what: dict[str, Any]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has ended, as `close` will report
            process.stdin.write(json.dumps(what) + "\n")
            process.stdin.flush()
