"""What trials under way leave in the run folder: their checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path

from search_spaces.sections import Checkpoints
from trainers.checkpoints import SUFFIX, Policy


class Running:
    """The folder `running/` of a run, which workers write and the driver clears."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()  # workers have working directories of their own

    def policy(self, settings: Checkpoints) -> Policy:
        """Where and when a worker saves its trial."""
        most = None if settings.max_gb is None else int(settings.max_gb * 1e9)
        return Policy(self.folder, settings.every_seconds, most)

    def forget(self, trial_id: str) -> None:
        """The trial is in the ledger: its checkpoint has served."""
        with contextlib.suppress(OSError):
            (self.folder / f"{trial_id}{SUFFIX}").unlink()

    def clear(self, finished: Container[str] = (), keep: Container[str] | None = None) -> None:
        """Remove what is left of `finished` trials and of writers that died, and the folder when nothing is in it.

        With `keep`, all goes but what is left of those trials.
        """
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            unwanted = path.stem in finished if keep is None else path.stem not in keep
            if path.suffix != SUFFIX or unwanted:
                with contextlib.suppress(OSError):
                    path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()
