"""Checkpoints in an object store, for workers on nodes that share no file system."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.checkpoints.checkpoint import ERRORS, LEAVING_SECONDS, SUFFIX, Checkpoint, Policy, Saved
from flyp_sweep.trainers.data.object_store import Storage, StorageError

REST_SECONDS, LONGEST_REST_SECONDS = 60.0, 3600.0
"""Seconds until a store that did not answer is tried again, doubled after each failure. Otherwise every trial would
wait for it."""
FORGOTTEN_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class RemotePolicy(Policy):
    """Stores checkpoints at `url`; `folder`, in the node's temporary folder, holds files during their upload.

    A store has no locks: several simultaneous saves may exceed `max_bytes`.
    """

    url: str = ""

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.url)

    def checkpoint(self, trial_id: str) -> Checkpoint:
        scratch = Path(tempfile.gettempdir(), f"{self.folder.name}-{os.getuid()}")
        return RemoteCheckpoint(replace(self, folder=scratch), trial_id, self.shelf)


class Shelf:
    """The store, as one process uses it: after a failure, it is not used for a while."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._resting_until = 0.0
        self._next_rest = REST_SECONDS

    @cached_property
    def store(self) -> Storage:
        """The store. Raises InputError if the node lacks a package that the driver has."""
        return Storage(self._url)

    @property
    def resting(self) -> bool:
        return time.monotonic() < self._resting_until

    def fetch(self, name: str, path: Path) -> bool:
        """Copy an object into a file; False if it is absent. On a StorageError, starts the pause and raises it."""
        with self._asked():
            return self.store.download(name, path)

    def send(self, path: Path, name: str) -> None:
        """Upload a file. On a StorageError, starts the pause and raises it; also raises it during a pause."""
        if self.resting:
            raise StorageError("the store did not answer a moment ago")
        with self._asked():
            self.store.upload(path, name)

    @contextlib.contextmanager
    def _asked(self) -> Generator[None]:
        try:
            yield
        except StorageError:
            self._resting_until = time.monotonic() + self._next_rest
            self._next_rest = min(2 * self._next_rest, LONGEST_REST_SECONDS)
            raise
        self._next_rest = REST_SECONDS


class RemoteCheckpoint(Checkpoint):
    """The checkpoint of one trial: written to a file, which a thread uploads while the trial continues.

    Uploads are sequential. If an epoch is due during an upload, the next epoch after the upload is saved.
    """

    def __init__(self, policy: Policy, trial_id: str, shelf: Shelf) -> None:
        super().__init__(policy, trial_id)
        self._shelf = shelf
        self._name = f"{trial_id}{SUFFIX}"
        self._sending: threading.Thread | None = None

    @property
    def due(self) -> bool:
        return super().due and not self._busy

    def flush(self, seconds: float = LEAVING_SECONDS) -> None:
        """Save the last offered state, unless it is saved already, and wait for its upload, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        self._wait(deadline)
        if not self._busy:  # otherwise the older upload might finish last
            self.save_offered()
            self._wait(deadline)

    @property
    def _busy(self) -> bool:
        return self._sending is not None and self._sending.is_alive()

    def _wait(self, deadline: float) -> None:
        if self._sending is not None:
            self._sending.join(max(0.0, deadline - time.monotonic()))

    def load(self) -> Saved | None:
        """The last saved state; None if there is none, or if it cannot be read."""
        if self._shelf.resting:
            self.trouble = "the store could not be searched for a checkpoint (the store did not answer a moment ago)"
            return None
        draft = self._draft()
        try:
            self.policy.folder.mkdir(parents=True, exist_ok=True)
            return self.read(draft) if self._shelf.fetch(self._name, draft) else None
        except (StorageError, InputError) as error:
            self.trouble = f"the store could not be searched for a checkpoint ({error})"
            return None
        except ERRORS as error:
            self.trouble = f"the checkpoint could not be read, so the trial began anew ({error})"
            return None
        finally:
            _remove(draft)

    def save(self, saved: Saved) -> None:
        """Write the checkpoint to a file and start its upload."""
        draft = self._draft()
        try:
            self.policy.folder.mkdir(parents=True, exist_ok=True)
            _remove_forgotten(self.policy.folder)
            self.write(saved, draft)
        except ERRORS as error:
            self.trouble = f"no checkpoint was written ({error})"
            _remove(draft)
            return
        self._sending = threading.Thread(target=self._send, args=(draft,), name="checkpoint", daemon=True)
        self._sending.start()

    def _send(self, draft: Path) -> None:
        try:
            if self._fits(draft.stat().st_size):
                self._shelf.store.upload(draft, self._name)
        except (StorageError, InputError, OSError) as error:
            self.trouble = f"no checkpoint was written ({error})"
        finally:
            _remove(draft)

    def _fits(self, size: int) -> bool:
        if self.policy.max_bytes is None:
            return True
        others = sum(size for name, size in self._shelf.store.sizes().items() if name != self._name)
        return self.within_bound(size, others)

    def _draft(self) -> Path:
        return self.policy.folder / f"{self.trial_id}.{os.getpid()}.{threading.get_ident()}.draft"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _remove_forgotten(folder: Path) -> None:
    """Remove files of processes that died during an upload."""
    for path in folder.glob("*.draft"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                path.unlink()
