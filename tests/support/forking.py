"""What tests have run in forked processes, and clients of fork servers that are processes of their own.

Nothing heavy is imported here: each of these processes would.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from waiting import until

from flyp_sweep.orchestrator.engine.forked import Lease


def pid_in(path: Path) -> int:
    """What some process writes into a file, once it has."""
    until(lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def echo(pipe: Connection, *words: object) -> None:
    """Say who this is and what it was given, then say everything again until the other end is closed."""
    told = {"parent": os.getppid(), "folder": os.getcwd(), "environment": dict(os.environ), "words": words}
    pipe.send({**told, "modules": list(sys.modules)})
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(pipe.recv())


@contextmanager
def other_process(target: Any, *arguments: object) -> Iterator[tuple[SpawnProcess, Connection]]:
    """`target(pipe, *arguments)` in a process that has nothing to do with this one, killed at the end of the block."""
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, pipe
    finally:
        process.kill()
        process.join()


def client(pipe: Connection, name: str) -> None:
    """Once told to, take a lease and have `echo` forked; say its pid and what it says; wait to be told to end."""
    pipe.send("ready")
    pipe.recv()
    process = Lease(name, ()).fork(echo)
    pipe.send((process.pid, process.pipe.recv()))
    pipe.recv()


def asker(pipe: Connection, name: str, modules: Sequence[str]) -> None:
    """Take a lease on a server with these modules and ask for a process at once."""
    lease = Lease(name, modules)
    pipe.send("asking")
    lease.fork(echo)


def killer(pipe: Connection, path: Path) -> None:
    """Kill the process whose pid is written into a file."""
    os.kill(pid_in(path), signal.SIGKILL)
