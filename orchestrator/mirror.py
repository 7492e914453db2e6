"""The MLflow mirror, the driver's side: a process that follows the ledger and never leads it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

from results.run_folder import RunFolder


class Mirror:
    """Keeps MLflow up to date from a process of its own, so that neither the driver nor a trial ever waits for it.

    The process (`orchestrator.mirror_process`) reads the ledger by itself and ends when the driver does. It hears what
    to do over its stdin: a URI may hold a password, which a command line would show.
    """

    def __init__(self, uri: str, experiment: str, folder: RunFolder) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.mirror_process"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the driver, which closes its mirror when the outputs are written
        )
        self._tell({"uri": uri, "experiment": experiment, "path": str(folder.path.resolve())})

    def close(self, description: str, *, complete: bool) -> str | None:
        """Let it catch up if that takes seconds, then finish the parent run; returns what went wrong, if anything."""
        self._tell({"description": description, "complete": complete})
        told, _ = self._process.communicate()
        if self._process.returncode or not told:
            return f"the process that writes it ended with code {self._process.returncode}"
        behind: str | None = json.loads(told)
        return behind

    def _tell(self, what: dict[str, object]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: that is said when it is closed
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
