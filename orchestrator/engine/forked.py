"""A worker's side of the fork server: a lease on the one of its node, and the processes that it forks for it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine.fork_server import FORK, FORK_AT_ONCE, NUMBER, STDERR, STDOUT, same_user

ATTEMPTS = 3
START_SECONDS = 10.0
RACE_SECONDS = 0.01
BACKLOG = 1024
"""More workers than this do not connect while the server is importing; they would have to wait."""


class Lease:
    """The right to have processes forked, one at a time; the fork server lives as long as anyone has a lease on it.

    All who say the same `name` on a node share a server, which has imported `modules` (those that may come later stand
    behind `REST`). Taking a lease starts it where there is none, and does not wait for the imports; it then has these
    `variables` besides those of this process, and says what goes wrong in it to this process's stderr, or, when
    `quiet`, to nobody. Raises OSError when it cannot be started.
    """

    def __init__(
        self, name: str, modules: Sequence[str], variables: Mapping[str, str] | None = None, *, quiet: bool = False
    ) -> None:
        self._name = name
        self._start = partial(launch, modules=modules, variables=variables or {}, quiet=quiet)
        self._server = connect(name, self._start)

    def fork(self, target: Callable[..., object], *arguments: Any) -> Forked:
        """Have `target(pipe, *arguments)` run in a process with this one's environment, folder, paths and output.

        A server that has died is replaced. Raises OSError when no process is to be had.
        """
        return self._ask(FORK, target, arguments)

    def fork_at_once(self, target: Callable[..., object], *arguments: Any) -> Forked:
        """As `fork`, without waiting for the modules behind `REST`: those that it needs it imports itself."""
        return self._ask(FORK_AT_ONCE, target, arguments)

    def close(self) -> None:
        self._server.close()

    def _ask(self, message: int, target: Callable[..., object], arguments: Sequence[Any]) -> Forked:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(EOFError, ConnectionError):
                return self._fork(message, target, arguments)
            self.close()
            self._server = connect(self._name, self._start)
        raise OSError("the fork server ends at once; the log of the worker says why")

    def _fork(self, message: int, target: Callable[..., object], arguments: Sequence[Any]) -> Forked:
        pipe, theirs = Pipe()
        try:
            with theirs:
                socket.send_fds(self._server, [bytes([message])], [theirs.fileno(), STDOUT, STDERR])
                pid = heard(self._server)
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
            pipe.send((dict(os.environ), sys.path, os.getcwd(), os.getpgrp()))
            pipe.send((target, arguments))
        except BaseException:
            pipe.close()
            raise
        return Forked(self._server, pipe, pid)


class Forked:
    """A process that the server has forked, and the worker's end of its pipe.

    `exit_code` is negative for a signal; None: it lives, or nobody can tell, as its server has died.
    """

    def __init__(self, server: socket.socket, pipe: Connection, pid: int) -> None:
        self.pipe = pipe
        self.pid = pid
        self.exit_code: int | None = None
        self._server = server

    def signal(self, number: int) -> None:
        """Send a signal, through the server: it alone knows whether the pid is still this process's."""
        if self.exit_code is None:
            try:
                self._server.sendall(bytes([number]))
            except ConnectionError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, or for that of the server."""
        if self.exit_code is None and wait([self._server], timeout):
            with contextlib.suppress(EOFError, ConnectionError):
                self.exit_code = heard(self._server)

    def end(self) -> None:
        """Kill it, unless it has ended, and close the pipe."""
        self.signal(signal.SIGKILL)
        self.join()
        self.signal(signal.SIGKILL)  # the server may have died before it could
        self.pipe.close()


def heard(server: socket.socket) -> int:
    """The next number that the server tells. Raises EOFError or ConnectionError when it is dead."""
    message = server.recv(NUMBER.size, socket.MSG_WAITALL)
    if len(message) < NUMBER.size:
        raise EOFError
    return int(NUMBER.unpack(message)[0])


def connect(name: str, start: Callable[[str, str], None]) -> socket.socket:
    """A connection to the fork server of this name, which is started unless there is one."""
    address = address_of(name)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(address)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            server.close()
            if sys.platform != "linux" and isinstance(error, ConnectionRefusedError):
                Path(address).unlink(missing_ok=True)  # of a server that was killed
            start(name, address)
            continue
        if not same_user(server):
            server.close()
            raise PermissionError(f"the fork server {name!r} of this node is another user's")
        return server
    raise TimeoutError(f"found no fork server {name!r}, and none could be started")


def address_of(name: str) -> str:
    """Where a server listens. On Linux that is no file: the kernel frees the name however the server ends."""
    if sys.platform != "linux":
        return os.path.join(tempfile.gettempdir(), f"flyp-sweep-{name}")
    # Containers may share a network, and such names with it, but not files and pids: each has a server of its own.
    files = os.stat("/proc/self/ns/mnt").st_ino
    return f"\0flyp-sweep-{name}-{files}"


def launch(name: str, address: str, modules: Sequence[str], variables: Mapping[str, str], quiet: bool) -> None:
    """Start a server, unless another worker is just doing so: the name can be had once."""
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(RACE_SECONDS)
            return
        listener.listen(BACKLOG)
        path = os.pathsep.join(map(os.path.abspath, sys.path))
        starter = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "flyp_sweep.orchestrator.engine.fork_server",
                name,
                str(listener.fileno()),
                *modules,
            ],
            cwd="/",
            env={**variables, **os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            pass_fds=[listener.fileno()],
        )
    threading.Thread(target=starter.wait, daemon=True).start()  # it ends once it has forked the server
