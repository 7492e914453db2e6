"""The files of the trials that run now, in `running/` of the run folder; `results.ledger.running_trials` reads them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from flyp_sweep.results.ledger.run_folder import write_whole
from flyp_sweep.results.ledger.running_trials import SUFFIX, SWEEP, RunningSweep, RunningTrial, encode

log = logging.getLogger(__name__)


class RunningFiles:
    """A JSON file per running trial, and one of the whole sweep. Files that cannot be written cost nothing but a view.

    Checkpoints lie in the same folder, as `.safetensors`; they are left alone. Nothing is synced to the disk: after a
    crash of the machine nobody needs these files. A driver that has `lost` the run changes no file: they are those of
    the driver that has the run now.
    """

    def __init__(self, folder: Path, lost: Callable[[], str | None] = lambda: None) -> None:
        self.folder = folder
        self.lost = lost
        self._failed = False

    def write(self, trial: RunningTrial) -> None:
        """Write a trial as it is now."""
        self._try(lambda: self._put(trial.trial_id + SUFFIX, encode(trial)))

    def write_sweep(self, sweep: RunningSweep) -> None:
        """Write what is known of the whole sweep."""
        self._try(lambda: self._put(SWEEP, encode(sweep)))

    def remove(self, trial_id: str) -> None:
        """Remove the file of a trial."""
        self._try(lambda: (self.folder / f"{trial_id}{SUFFIX}").unlink(missing_ok=True))

    def clear(self) -> None:
        """Remove all of them, those of an earlier driver too, and the folder if it is empty."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            self.remove(path.stem)
        with contextlib.suppress(OSError):  # it is not empty, or not there
            self.folder.rmdir()

    def _put(self, name: str, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / name, text, synced=False)

    def _try(self, change: Callable[[], object]) -> None:
        """Change a file; log the first failure alone."""
        if self.lost():
            return
        try:
            change()
        except OSError as error:
            if not self._failed:
                log.warning("other terminals cannot see the running trials: %s", error)
            self._failed = True
