"""The processes of a sweep, as the operating system sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import psutil


def family(pid: int) -> list[psutil.Process]:
    """A process with all its descendants: of a driver these are Ray's servers, its workers and the MLflow mirror."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def workers(pid: int) -> list[psutil.Process]:
    """The Ray workers of a driver in which trials run. Ray names its workers after the class of their actor."""
    return [process for process in family(pid) if _title(process).startswith("ray::") and not _is_other(process)]


def wait_until_gone(processes: Sequence[psutil.Process], seconds: float = 20.0) -> None:
    """Return when none of these processes runs any more.

    Ray's agents do not count: where its servers were killed they notice only a minute later, and then end.
    """
    _, alive = psutil.wait_procs([process for process in processes if "Agent" not in _title(process)], seconds)
    assert not alive, alive


def _is_other(process: psutil.Process) -> bool:
    """A worker without an actor, or one of the agents of Ray's node, with which the node ends."""
    return "IDLE" in _title(process) or "Agent" in _title(process)


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""
