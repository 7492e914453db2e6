"""One driver per run folder on a disk: a file lock, an owner file, and the refusal of a second driver."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flyp_sweep.search_spaces.errors import InputError

log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
STALE_SECONDS = 4 * BEAT_SECONDS
"""A driver on another host counts as dead after this silence."""


@dataclass(frozen=True)
class Owner:
    """The driver that has a run folder."""

    host: str
    pid: int
    since: str

    @classmethod
    def this(cls) -> Owner:
        return cls(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """The owner that `path` names; None when the file is absent or cannot be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The run folder `path` for this driver alone. Raises InputError when another one has it, or it cannot be written.

    On one host the kernel's lock tells a live driver from a dead one, and on all hosts if the file system carries
    locks. Otherwise the owner file beside the folder identifies a driver on another host, which touches the file
    regularly.
    """
    path = path.resolve()  # by whatever name, one folder has one lock
    owner = _owner_file(path)
    draft = path.parent / f".{path.name}.{os.getpid()}"
    this = Owner.this()
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(this)))
        lock.acquire(timeout=0)
        _refuse_live(path, Owner.read(owner), owner, draft)
        draft.replace(owner)
    except Timeout as error:
        draft.unlink()
        raise refusal(path, Owner.read(owner)) from error
    except InputError:
        draft.unlink()
        lock.release()
        raise
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        lock.release()
        raise InputError(
            f"{path}: the run folder cannot be written ({error.strerror or error}); mend that or choose another --out"
        ) from error
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(owner, this, over), name="owner-beat", daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()
        abandon(owner, this)
        lock.release()


def _refuse_live(path: Path, found: Owner | None, owner: Path, draft: Path) -> None:
    """Raise InputError when a driver on another host is alive. One on this host is dead, since the lock was free.

    Both times are the file system's own, so the clocks of the hosts need not agree.
    """
    if found is not None and found.host != socket.gethostname():
        silence = draft.stat().st_mtime - owner.stat().st_mtime
        if silence < STALE_SECONDS:
            raise refusal(path, found, f" (last sign of life {max(0, round(silence))} s ago)")


def _beat(owner: Path, this: Owner, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        if Owner.read(owner) == this:  # not so when this host was asleep, and another driver took the folder over
            try:
                os.utime(owner)
            except OSError as error:
                log.warning("no sign of life could be given, other hosts may take this driver for dead: %s", error)


def lost(path: Path) -> str | None:
    """Why this driver, which entered `locked(path)`, no longer has the run folder, in a line; None when it has.

    Call it before the folder is written: this host may have slept so long that another driver took the folder over, or
    two drivers may have started at once on a file system that does not carry locks between hosts.
    """
    found, this = Owner.read(_owner_file(path)), Owner.this()
    if found is None or (found.host, found.pid) == (this.host, this.pid):
        return None
    return taken_over(path, found)


def leave_behind(path: Path) -> None:
    """Remove the owner file of a driver that exits inside `locked(path)`, so that other hosts need not wait."""
    owner = _owner_file(path)
    found, this = Owner.read(owner), Owner.this()
    if found is not None and (found.host, found.pid) == (this.host, this.pid):
        abandon(owner, found)


def abandon(owner: Path, this: Owner) -> None:
    """Remove the owner file, if it is still that of this driver."""
    if Owner.read(owner) == this:
        with contextlib.suppress(OSError):
            owner.unlink()


def _owner_file(path: Path) -> Path:
    path = path.resolve()
    return path.parent / f".{path.name}.owner"


def taken_over(place: object, owner: Owner | None) -> str:
    """The error line of a driver that another one has replaced."""
    who = f" ({owner})" if owner else ""
    return f"{place}: another flyp-sweep has taken this run over{who}, so this one ends; see that only one is started"


def refusal(path: Path, owner: Owner | None, more: str = "") -> InputError:
    """The error line of a second driver."""
    who = f": {owner}{more}" if owner else ""
    return InputError(f"{path}: another flyp-sweep is running in this folder{who}; wait for it or choose --out")
