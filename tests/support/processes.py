"""The processes of a sweep, as the operating system sees them."""

from __future__ import annotations

import contextlib

import psutil


def trial_processes(pid: int) -> list[psutil.Process]:
    """The processes that trials run in: forked from a fork server, whose command line they keep."""

    def forked(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = process.parent()
            return parent is not None and all("forkserver" in " ".join(one.cmdline()) for one in (process, parent))
        return False

    with contextlib.suppress(psutil.NoSuchProcess):
        return [process for process in psutil.Process(pid).children(recursive=True) if forked(process)]
    return []
