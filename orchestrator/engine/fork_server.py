"""The fork server: it has imported what trials need, and forks the processes that they run in.

All workers of a sweep on a node share one, so what it has imported is in memory once. `forked` is their
side, and starts it as `fork_server NAME LISTENER MODULE... --rest MODULE...` with a socket that
listens already: who connects while it is importing just waits.

A connection is a lease. The server ends soon after the last one is closed, which the kernel does for a worker however
that one dies; nothing else ends it. Over a connection a client sends single bytes:

- FORK, with the descriptors of a pipe, a stdout and a stderr. It is told the pid, or the negative errno that says why
  there is none, and in the end the exit code, negative for a signal. Only then may it ask for another process.
- FORK_AT_ONCE, which is the same for a process that can do without the rest of the modules. That is imported when
  nobody asks for anything, and at the latest before the first FORK.
- The number of a signal, for its process.

Numbers are told as `NUMBER` packs them. What the process is to do it is told over its pipe, so the server reads nothing
that could make it wait or fail.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import NoReturn

REST = "--rest"

FORK, FORK_AT_ONCE = 0, 255
NUMBER = struct.Struct("q")
HANDED_OVER = 3
"""The descriptors that come with FORK."""

FIRST_LEASE_SECONDS = 60.0
LINGER_SECONDS = 0.5
"""How long a server without a lease waits for one: at first, and later."""

STDOUT, STDERR = 1, 2


def main() -> None:
    _name, listener, *modules = sys.argv[1:]  # the name is for those who look at processes
    leave_the_starter()
    first = modules.index(REST) if REST in modules else len(modules)
    server = ForkServer(socket.socket(fileno=int(listener)), modules[first + 1 :])
    for module in modules[:first]:
        import_for_all(module)
        if server.deserted():
            break
    else:
        server.run()
    if sys.platform != "linux":  # there its name is no file
        os.unlink(server.listener.getsockname())
    os._exit(0)


def import_for_all(module: str) -> None:
    """Import a module, and have the garbage collection leave alone what it brings.

    Imports make millions of objects and hardly any garbage, and looking for that takes a sixth of their time; in a
    forked process it would write to the pages that it shares, and so copy them.
    """
    gc.disable()
    importlib.import_module(module)
    gc.freeze()
    gc.enable()


def leave_the_starter() -> None:
    """Live on when the worker ends that started this: Ray kills its children, others its group."""
    if os.fork():
        os._exit(0)
    os.setpgrp()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # Ray blocks SIGINT
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class ForkServer:
    """Answers clients, one event after the other and in one thread: a fork takes no lock along."""

    def __init__(self, listener: socket.socket, rest: Sequence[str]) -> None:
        self.listener = listener
        self.rest = deque(rest)
        self.clients: set[socket.socket] = set()
        self.owners: dict[int, socket.socket] = {}  # of the processes that have not been reaped, by pid
        self.ended, self.waker = os.pipe()
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.ended, selectors.EVENT_READ, self._reap)
        os.set_blocking(self.waker, False)
        signal.set_wakeup_fd(self.waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it is heard as a byte in `ended`

    def run(self) -> None:
        """Serve until there is no lease any more, or none came."""
        patience = FIRST_LEASE_SECONDS
        while True:
            if self.clients:
                patience = LINGER_SECONDS
            wait = patience if not self.clients else 0 if self.rest else None
            ready = self.selector.select(wait)
            for key, _ in ready:
                key.data()
            if not ready and not self.clients:
                return
            if not ready and self.rest:
                import_for_all(self.rest.popleft())

    def deserted(self) -> bool:
        """Whether some have come and all have gone; before `run`: what they want is not heard."""
        while select.select([self.listener], [], [], 0)[0]:
            self._accept()
        gone = [client for client in self.clients if has_gone(client)]
        for client in gone:
            self._end_lease(client)
        return bool(gone) and not self.clients

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        if not same_user(client):
            client.close()
            return
        self.clients.add(client)
        self.selector.register(client, selectors.EVENT_READ, partial(self._hear, client))

    def _hear(self, client: socket.socket) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(client, 1, HANDED_OVER)
        except ConnectionResetError:
            message, descriptors = b"", []
        if not message:
            self._end_lease(client)
        elif message[0] in (FORK, FORK_AT_ONCE):
            while self.rest and message[0] == FORK and not has_gone(client):
                import_for_all(self.rest.popleft())
            self._fork(client, descriptors)
        else:
            for pid in [pid for pid, owner in self.owners.items() if owner is client]:
                os.kill(pid, message[0])

    def _end_lease(self, client: socket.socket) -> None:
        """Its process, if there is one, hears of it by itself: it may have something to save."""
        self.selector.unregister(client)
        self.clients.remove(client)
        client.close()

    def _fork(self, client: socket.socket, descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            self._become(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self.owners[pid] = client
        tell(client, pid)

    def _become(self, descriptors: list[int]) -> NoReturn:
        """Be the forked process."""
        code = 1
        try:
            self._let_go()
            work(*descriptors)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _let_go(self) -> None:
        """Close what is the server's: while anyone has it, neither its name nor its clients know that it is dead."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self.selector.close()
        for descriptor in (self.ended, self.waker):
            os.close(descriptor)
        for one in (self.listener, *self.clients):
            one.close()

    def _reap(self) -> None:
        os.read(self.ended, 4096)
        for pid, code in ended_processes():
            if pid in self.owners:
                tell(self.owners.pop(pid), code)


def has_gone(client: socket.socket) -> bool:
    """Whether the other end is closed, whatever was said before."""
    hung_up = select.poll()
    hung_up.register(client, 0)  # a hang-up is told unasked
    return bool(hung_up.poll(0))


def ended_processes() -> Iterator[tuple[int, int]]:
    """Pid and exit code of every child that has ended since the last time."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, os.waitstatus_to_exitcode(status)


def tell(client: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # it is gone
        client.sendall(NUMBER.pack(number))


def same_user(peer: socket.socket) -> bool:
    """Whether the other end is this user's; a socket that has no file lets anyone connect."""
    if sys.platform != "linux":
        return True
    credentials = struct.Struct("iII")
    _, user, _ = credentials.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return bool(user == os.geteuid())


def work(descriptor: int, stdout: int, stderr: int) -> None:
    """Take the client's place, then do what it says over the pipe. Ctrl-C stays ignored: it is the driver's affair."""
    for ours, standard in ((stdout, STDOUT), (stderr, STDERR)):
        os.dup2(ours, standard)
        os.close(ours)
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    try:
        environment, path, folder, group = pipe.recv()
    except (EOFError, ConnectionError):  # it asked while the server was importing, and is gone
        return
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    os.chdir(folder)
    with contextlib.suppress(OSError):  # signals to the client's group are meant for it too; not from another session
        os.setpgid(0, group)
    target, arguments = pipe.recv()
    target(pipe, *arguments)


if __name__ == "__main__":
    main()
