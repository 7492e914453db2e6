"""One driver per run folder in a store: a lease that its holder renews.

The lease is an object `lock/N.json`, created only if absent; the holder of the highest N has the run. The holder
rewrites the object every few seconds. A driver that finds the object stale creates N + 1. Staleness is measured with
the store's clock alone, so the clocks of the hosts need not agree. A holder that wakes up finds a higher N and stops.
What it wrote meanwhile does no harm: see `orchestrator.store.ledger_parts`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from flyp_sweep.orchestrator.store import lock
from flyp_sweep.orchestrator.store.lock import (
    STALE_SECONDS,
    Owner,
    is_gone,
    refusal,
    refuse_live,
    taken_over,
    this_driver,
)
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage, StorageError, Taken

log = logging.getLogger(__name__)

FOLDER, SUFFIX = "lock", ".json"


class Lease:
    """The run for this driver alone, for the length of a block.

    `lost` says in a line that another driver has taken the run over.
    """

    def __init__(self, run: Storage) -> None:
        self.url = run.url
        self.lost: str | None = None
        self._folder = run.below(FOLDER)
        self._this = this_driver().text.encode()
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._renew, name="store-beat", daemon=True)

    def __enter__(self) -> Lease:
        """Raises InputError when another driver has the run, or the store cannot keep two apart; StorageError too."""
        now = self._store_time()
        names = self._names()
        last = 0
        if names:
            last = int(names[-1].removesuffix(SUFFIX))
            holder = self._holder(names[-1])
            if not (holder and is_gone(holder)):
                refuse_live(self.url, holder, now - self._folder.written(names[-1]))
        self._name = f"{last + 1:08}{SUFFIX}"
        try:
            self._folder.create(self._name, self._this)
        except Taken:
            raise refusal(self.url, self._holder(self._name)) from None
        self._folder.remove(names)
        self._heard = time.time()
        self._beat.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Give the lease up. If the store does not answer, the lease expires a minute later."""
        self._over.set()
        self._beat.join(lock.BEAT_SECONDS)
        try:
            self._folder.remove([self._name])
        except StorageError as error:
            log.warning("the lease in the store could not be removed, it ends in %.0f s: %s", STALE_SECONDS, error)

    def _holder(self, name: str) -> Owner | None:
        return Owner.of(self._folder.read(name))

    def _names(self) -> list[str]:
        return [name for name in self._folder.sizes() if name.removesuffix(SUFFIX).isdecimal()]

    def _store_time(self) -> float:
        """The store's clock, read from an object. Refuses a store that does not honour If-None-Match."""
        name = f"probe-{this_driver().token}"
        self._folder.create(name, b"one")
        try:
            with contextlib.suppress(Taken):
                self._folder.create(name, b"another")
                raise InputError(
                    f"{self.url}: the store made an object that was there already (it ignores If-None-Match), so two "
                    "drivers could not be kept apart; take another store, or mount it and give a path"
                )
            return self._folder.written(name)
        finally:
            self._folder.remove([name])

    def confirm(self) -> None:
        """Check that this driver still has the run, if it may have slept. Call it before the ledger is extended.

        Raises StorageError as `Storage`. A clock that jumps costs one request.
        """
        if abs(time.time() - self._heard) > 2 * lock.BEAT_SECONDS:
            self.check()

    def _renew(self) -> None:
        while self.lost is None and not self._over.wait(lock.BEAT_SECONDS):
            try:
                self.check()
            except StorageError as error:  # the next beat tries again, and the ledger's parts do not depend on it
                log.warning("the lease in the store could not be renewed: %s", error)

    def check(self) -> None:
        """Renew the lease, unless another driver has taken over."""
        last = max(self._names(), default=self._name)
        if last > self._name:
            self.lost = taken_over(self.url, self._holder(last))
        else:
            self._folder.write(self._name, self._this)
        self._heard = time.time()
