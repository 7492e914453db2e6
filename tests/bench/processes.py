"""The processes of a sweep, as the operating system sees them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import psutil

FORK_SERVER = "flyp_sweep.orchestrator.engine.fork_server"


def family(pid: int) -> list[psutil.Process]:
    """A driver with all that works for it: its descendants and, though they are none, its fork servers and trials."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        driver = psutil.Process(pid)
        found = [driver, *driver.children(recursive=True)]
    return [*found, *forks(pid)]


def trial_processes(pid: int) -> list[psutil.Process]:
    """The processes that a driver's trials run in: they are in their workers' groups, a fork server is in its own."""
    return [process for process in forks(pid) if _group(process) != process.pid]


def forks(pid: int) -> list[psutil.Process]:
    """The fork servers of a driver, which may be gone, and what they forked: their command line names the driver."""
    return [process for process in psutil.process_iter() if _is_fork(process, f"{pid}-")]


def wait_until_gone(pid: int, seconds: float = 20.0) -> None:
    """Return when no fork server or trial of a driver is left. One that is importing hears of its end afterwards."""
    deadline = time.monotonic() + seconds
    while left := forks(pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _is_fork(process: psutil.Process, prefix: str) -> bool:
    words: Iterator[str] = iter(())
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        words = iter(process.cmdline())
    return FORK_SERVER in words and next(words, "").startswith(prefix)


def _group(process: psutil.Process) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return None
