"""Files that workers write, one per trial: checkpoints of trials under way, kept weights, predictions."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Container
from pathlib import Path

from flyp_sweep.search_spaces.sections import Checkpoints, Predictions
from flyp_sweep.trainers.checkpoints.checkpoint import SUFFIX, Policy
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.data.object_store import Storage

log = logging.getLogger(__name__)


class TrialFiles:
    """The folder `running/` of a run, `weights/` or `predictions/`, which workers write and the driver clears."""

    def __init__(self, folder: Path, suffix: str = SUFFIX) -> None:
        self.folder = folder.resolve()  # workers have working directories of their own
        self.suffix = suffix

    def policy(self, settings: Checkpoints) -> Policy:
        """Where and when a worker saves its trial."""
        return Policy(self.folder, settings.every_seconds, settings.max_bytes)

    def names(self) -> frozenset[str]:
        """The trials that have a file."""
        return frozenset(path.stem for path in self.folder.glob(f"*{self.suffix}"))

    def prediction_files(self, kind: Predictions) -> PredictionFiles:
        """Where a worker puts the predictions of a repeat."""
        return PredictionFiles(kind, self.folder)

    def forget(self, trial_id: str) -> None:
        """Remove the file of a trial, which nobody needs any more."""
        _remove(self.folder / f"{trial_id}{self.suffix}")

    def clear(self, finished: Container[str] = (), keep: Container[str] | None = None) -> None:
        """Remove the files of `finished` trials and of writers that died, and the folder when it is empty.

        With `keep`, remove all files but those of these trials.
        """
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            unwanted = path.stem in finished if keep is None else path.stem not in keep
            if path.suffix != self.suffix or unwanted:
                _remove(path)
        with contextlib.suppress(OSError):  # it is not empty
            self.folder.rmdir()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a file that nobody needs any more could not be removed: %s", error)


class RemoteTrialFiles(TrialFiles):
    """The same in a store. `forget` and `clear` return at once; `tidy` removes the files later."""

    def __init__(self, store: Storage, scratch: str = "flyp-sweep-checkpoints", suffix: str = SUFFIX) -> None:
        self.store = store
        self.scratch = scratch
        self.suffix = suffix
        self._unwanted: list[Callable[[str], bool]] = []

    def policy(self, settings: Checkpoints) -> Policy:
        from flyp_sweep.trainers.checkpoints.remote import RemotePolicy

        return RemotePolicy(Path(self.scratch), settings.every_seconds, settings.max_bytes, self.store.url)

    def names(self) -> frozenset[str]:
        """As of a folder. Raises StorageError."""
        return frozenset(name.removesuffix(self.suffix) for name in self.store.sizes())

    def prediction_files(self, kind: Predictions) -> PredictionFiles:
        return PredictionFiles(kind, Path(self.scratch), self.store.url)

    def forget(self, trial_id: str) -> None:
        self._unwanted.append(trial_id.__eq__)

    def clear(self, finished: Container[str] = (), keep: Container[str] | None = None) -> None:
        self._unwanted.append(finished.__contains__ if keep is None else lambda trial_id: trial_id not in keep)

    def fetch(self, folder: Path) -> None:
        """Copy the files that `folder` lacks, or has in another size, into it. Raises StorageError."""
        for name, size in self.store.sizes().items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                folder.mkdir(parents=True, exist_ok=True)
                draft = path.with_suffix(".draft")
                self.store.download(name, draft)
                draft.replace(path)

    def tidy(self) -> None:
        """Remove the unwanted files. After a StorageError the next call tries again."""
        if count := len(self._unwanted):
            said = self._unwanted[:count]
            names = [name for name in self.store.sizes() if any(of(name.removesuffix(self.suffix)) for of in said)]
            self.store.remove(names)
            del self._unwanted[:count]
