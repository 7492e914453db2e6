"""The checks before the start, made where torch is imported anyway: in a process of the fork server."""

from __future__ import annotations

from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from flyp_sweep.orchestrator.engine.forked import Lease
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.preflight import Checked, check


def check_elsewhere(lease: Lease, space: SearchSpace, data_root: Path, allow_incomplete: bool) -> Checked:
    """What `trainers.preflight.check` finds and raises, without the seconds of its imports in this process.

    Where no process is to be had, or it meets what it does not expect, the checks are made here.
    """
    with suppress(OSError, EOFError):
        process = lease.fork_at_once(_answer, space, data_root, allow_incomplete)
        try:
            found = process.pipe.recv()
        finally:
            process.end()
        if isinstance(found, InputError):
            raise found
        if isinstance(found, Checked):
            return found
    return check(space, data_root, allow_incomplete)


def _answer(pipe: Connection, space: SearchSpace, data_root: Path, allow_incomplete: bool) -> None:
    found: Checked | InputError | None = None
    try:
        found = check(space, data_root, allow_incomplete)
    except InputError as error:
        found = error
    except Exception:
        found = None  # it is met again where its traceback is of use
    with suppress(BrokenPipeError):  # the driver was asked to end
        pipe.send(found)
