"""One driver per run folder in a store: a lease that its holder renews.

The lease is an object `lock/N.json`, created only if absent; the holder of the highest N has the run. The holder
rewrites the object every few seconds. A driver that finds the object stale creates N + 1. Staleness is measured with
the store's clock alone, so the clocks of the hosts need not agree. A holder that wakes up finds a higher N and stops.
What it wrote meanwhile does no harm: see `orchestrator.store.ledger_parts`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from flyp_sweep.orchestrator.store import lock
from flyp_sweep.orchestrator.store.lock import STALE_SECONDS, Owner, taken_over
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage, StorageError, Taken

log = logging.getLogger(__name__)

FOLDER, SUFFIX = "lock", ".json"


@dataclass(frozen=True)
class Holder:
    """Who has a run: the driver, and the machine on which its process can be looked up."""

    owner: Owner
    machine: str
    token: str

    @classmethod
    def this(cls) -> Holder:
        return cls(Owner.this(), _machine(), secrets.token_hex(8))

    @classmethod
    def of(cls, text: bytes | None) -> Holder | None:
        """The holder that `text` names; None when it cannot be read."""
        try:
            told = json.loads(text or b"")
            return cls(Owner(**told["owner"]), told["machine"], told["token"])
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def content(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def gone(self) -> bool:
        """Whether the driver is known to be dead: it ran on this machine, and no longer does."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.owner.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class Lease:
    """This driver's lease of a run in a store; `lost` says in a line that another driver has taken the run over."""

    def __init__(self, run: Storage) -> None:
        self.url = run.url
        self.lost: str | None = None
        self._folder = run.below(FOLDER)
        self._this = Holder.this()
        self._over = threading.Event()

    def acquire(self) -> None:
        """Raises InputError when another driver has the run, or the store cannot keep two apart; StorageError too."""
        now = self._store_time()
        names = self._names()
        number = 1
        if names:
            number += int(names[-1].removesuffix(SUFFIX))
            refuse_live(self._folder, names[-1], now)
        self._name = f"{number:08}{SUFFIX}"
        try:
            self._folder.create(self._name, self._this.content)
        except Taken:
            raise refusal(self.url, Holder.of(self._folder.read(self._name))) from None
        self._folder.remove(names)
        self._heard = time.time()
        self._beat = threading.Thread(target=self._renew, name="store-beat", daemon=True)
        self._beat.start()

    def release(self) -> None:
        """Give the lease up. If the store does not answer, the lease expires a minute later."""
        self._over.set()
        self._beat.join(lock.BEAT_SECONDS)
        try:
            self._folder.remove([self._name])
        except StorageError as error:
            log.warning("the lease in the store could not be removed, it ends in %.0f s: %s", STALE_SECONDS, error)

    def _names(self) -> list[str]:
        return [name for name in self._folder.sizes() if name.removesuffix(SUFFIX).isdecimal()]

    def _store_time(self) -> float:
        """The store's clock, read from an object. Refuses a store that does not honour If-None-Match."""
        name = f"probe-{self._this.token}"
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
            holder = Holder.of(self._folder.read(last))
            self.lost = taken_over(self.url, holder.owner if holder else None)
        else:
            self._folder.write(self._name, self._this.content)
        self._heard = time.time()


@contextmanager
def held(run: Storage) -> Iterator[Lease]:
    """The run for this driver alone, for the length of the block. Raises as `Lease.acquire`."""
    taken = Lease(run)
    taken.acquire()
    try:
        yield taken
    finally:
        taken.release()


def refuse_live(folder: Storage, name: str, now: float) -> None:
    """Raise InputError when the holder `name` is alive at the time `now` of the store."""
    holder = Holder.of(folder.read(name))
    silence = now - folder.written(name)
    if silence < STALE_SECONDS and not (holder and holder.gone):
        url = folder.url.rpartition("/")[0]
        raise refusal(url, holder, f" (last sign of life {max(0, round(silence))} s ago)")


def refusal(url: str, holder: Holder | None, more: str = "") -> InputError:
    """The error line of a second driver."""
    who = f": {holder.owner}{more}" if holder else more
    return InputError(
        f"{url}: another flyp-sweep is running in this folder{who}; wait for it, or for {STALE_SECONDS:.0f} s if it is "
        "dead, or choose another --out"
    )


def _machine() -> str:
    """What processes share that see each other's process ids: the boot and the PID namespace."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return secrets.token_hex(8)  # unique: no process id is compared
