"""What trials under way leave in the run folder: checkpoints, and traces of workers that hung."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path

from search_spaces.sections import Checkpoints
from trainers.checkpoints import SUFFIX, Policy

TRACE = ".trace"


class Running:
    """The folder `running/` of a run, which workers write and the driver clears."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def policy(self, settings: Checkpoints) -> Policy:
        """Where and when a worker saves its trial."""
        most = None if settings.max_gb is None else int(settings.max_gb * 1e9)
        return Policy(self.folder, settings.every_seconds, most)

    def trace_path(self, trial_id: str) -> Path:
        """Where a worker that hangs leaves the stacks of its threads."""
        return self.folder / f"{trial_id}{TRACE}"

    def trace(self, trial_id: str) -> str | None:
        """What the worker of this trial left when it hung, taken away; None when it did not hang."""
        path = self.trace_path(trial_id)
        try:
            text = path.read_text(errors="replace")
            path.unlink()
        except OSError:
            return None
        return text or None

    def forget(self, trial_id: str) -> None:
        """The trial is in the ledger: its checkpoint has served."""
        for path in (self.folder / f"{trial_id}{SUFFIX}", self.trace_path(trial_id)):
            with contextlib.suppress(OSError):
                path.unlink()

    def clear(self, finished: Container[str]) -> None:
        """Remove what is left of `finished` trials and of writers that died, and the folder when nothing is in it."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.suffix != SUFFIX or path.stem in finished:
                with contextlib.suppress(OSError):
                    path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()
