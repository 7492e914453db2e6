"""One driver per run folder on a disk: a file lock, an owner file, and the refusal of a second driver."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from flyp_sweep.results.durations import utc_now
from flyp_sweep.search_spaces.errors import InputError

log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
STALE_SECONDS = 4 * BEAT_SECONDS
"""A driver on another host counts as dead after this silence."""


@dataclass(frozen=True)
class Owner:
    """The driver that has a run; `machine` is where its process can be looked up."""

    host: str
    pid: int
    since: str
    machine: str = ""
    token: str = ""

    @classmethod
    def of(cls, text: str | bytes | None) -> Owner | None:
        """The owner that `text` names; None when it cannot be read."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return None

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@cache
def this_driver() -> Owner:
    """This process."""
    return Owner(socket.gethostname(), os.getpid(), utc_now(), _machine(), secrets.token_hex(8))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The run folder `path` for this driver alone. Raises InputError when another one has it, or it cannot be written.

    On one host the kernel's lock tells a live driver from a dead one, and on all hosts if the file system carries
    locks. Otherwise the owner file beside the folder identifies a driver on another host, which touches the file
    regularly. Both times are the file system's own, so the clocks of the hosts need not agree.
    """
    path = path.resolve()  # by whatever name, one folder has one lock
    draft = path.parent / f".{path.name}.{this_driver().token}"
    lock = FileLock(path.parent / f".{path.name}.lock")
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, over), name="owner-beat", daemon=True)
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(_removed, draft)
            draft.write_text(this_driver().text)  # first: the lock of a folder that cannot be written looks taken
            stack.enter_context(lock.acquire(timeout=0))
            found = owner_of(path)
            if found is not None and found.host != socket.gethostname():  # one on this host is dead: the lock was free
                refuse_live(path, found, draft.stat().st_mtime - _owner_file(path).stat().st_mtime)
            draft.replace(_owner_file(path))
        except Timeout:
            raise refusal(path, owner_of(path)) from None
        except OSError as error:
            raise InputError(
                f"{path}: the run folder cannot be written ({error.strerror or error}); mend that or choose another "
                "--out"
            ) from error
        stack.callback(leave_behind, path)
        stack.callback(beat.join)
        stack.callback(over.set)
        beat.start()
        yield


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        if owner_of(path) == this_driver():  # not so when this host was asleep, and another driver took the folder over
            try:
                os.utime(_owner_file(path))
            except OSError as error:
                log.warning("no sign of life could be given, other hosts may take this driver for dead: %s", error)


def lost(path: Path) -> str | None:
    """Why this driver, which entered `locked(path)`, no longer has the run folder, in a line; None when it has.

    Call it before the folder is written: this host may have slept so long that another driver took the folder over, or
    two drivers may have started at once on a file system that does not carry locks between hosts.
    """
    found = owner_of(path)
    return None if found in (None, this_driver()) else taken_over(path, found)


def leave_behind(path: Path) -> None:
    """Remove the owner file, if it is still that of this driver, so that other hosts need not wait."""
    if owner_of(path) == this_driver():
        _removed(_owner_file(path))


def _removed(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def owner_of(path: Path) -> Owner | None:
    """The driver that has the run folder `path`; None when there is none, or its file cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return Owner.of(_owner_file(path).read_text(encoding="utf-8"))
    return None


def living_driver(path: Path) -> Owner | None:
    """The driver that runs in the run folder `path` now; None where there is none.

    A driver counts as alive for STALE_SECONDS after its last sign of life, by the clocks of this host and of the file
    system. On its own machine its process is looked up too.
    """
    found = owner_of(path)
    if found is None or is_gone(found):
        return None
    with contextlib.suppress(OSError):
        if time.time() - _owner_file(path).stat().st_mtime < STALE_SECONDS:
            return found
    return None


def is_gone(owner: Owner) -> bool:
    """Whether the driver is known to be dead: it ran on this machine, and no longer does."""
    if owner.machine == this_driver().machine:
        try:
            os.kill(owner.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
    return False


def _owner_file(path: Path) -> Path:
    path = path.resolve()
    return path.parent / f".{path.name}.owner"


def taken_over(place: object, owner: Owner | None) -> str:
    """The error line of a driver that another one has replaced."""
    who = f" ({owner})" if owner else ""
    return f"{place}: another flyp-sweep has taken this run over{who}, so this one ends; see that only one is started"


def refuse_live(place: object, owner: Owner | None, silence: float) -> None:
    """Raise InputError when a driver elsewhere, whose last sign of life is so many seconds old, counts as alive."""
    if silence < STALE_SECONDS:
        raise refusal(place, owner, f" (last sign of life {max(0, round(silence))} s ago)")


def refusal(place: object, owner: Owner | None, more: str = "") -> InputError:
    """The error line of a second driver."""
    who = f": {owner}{more}" if owner else more
    return InputError(
        f"{place}: another flyp-sweep is running in this folder{who}; wait for it, or for {STALE_SECONDS:.0f} s if it "
        "is dead, or choose another --out"
    )


def _machine() -> str:
    """What processes share that see each other's process ids: the boot and the PID namespace."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return secrets.token_hex(8)  # unique: no process id is compared
