"""The process that trials run in: forked in milliseconds from one that has imported what they need, and expendable.

Whatever kills it (the kernel for want of memory, a crash in native code, a hung call) costs no more than the epoch
under way: the worker that owns it says why, and has another forked.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import os
import select
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Generator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from orchestrator.forked import Forked, Lease
from search_spaces.errors import InputError
from trainers.checkpoints import Checkpoint, Policy
from trainers.failure import TrialFailed
from trainers.machine import machine
from trainers.spec import DIED, DONE, FAILED, UNREADABLE, Epoch, TrialResult, TrialSpec

PRELOADED = ["torch", "torchvision", "open_clip", "orchestrator.trial_process", "trainers.preload"]
"""The heavy ones by name, for a server that is no longer wanted ends between two of them."""
NEXT, FLUSH = "next", "flush"
TRACE_SECONDS = 2.0
"""What a process that hangs gets to write down where."""

Reply = dict[str, Any]
"""An `Epoch` as a dict, or `{"ending": ...}` with the ending as JSON text."""


@dataclass(frozen=True)
class Settings:
    """What all trials of a worker have in common; `hang_seconds` None: a trial may take forever.

    Workers on the same node that say the same `fork_server` have their processes forked by the same one.
    """

    space: dict[str, Any]
    data_root: str
    policy: Policy
    threads: int
    device: str
    hang_seconds: float | None
    fork_server: str


class TrialProcess:
    """A trial's process, seen from the worker that owns it. Made anew for the first trial, and after each death."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lease = Lease(settings.fork_server, PRELOADED)
        self._process: Forked | None = None

    def begin(self, spec: TrialSpec) -> None:
        """Take up the trial at the next `step`."""
        self._spec = spec
        self._began = time.time()
        self._told = False

    def step(self) -> Reply:
        """Run one epoch, or all that follows the last one; never raises for what happens to the trial."""
        try:
            process = self._process or self._start()
        except OSError as error:
            return self._died(f"no process was to be had for the trial: {error}")
        try:
            if not self._told:
                process.pipe.send(self._spec.to_json())
                self._told = True
            process.pipe.send(NEXT)
            if not process.pipe.poll(self.settings.hang_seconds):
                return self._hung(process)
            reply, sound = process.pipe.recv()
        except (EOFError, OSError):
            process.join(TRACE_SECONDS)
            stacks = self._stacks.read() or None
            self._end(process)
            return self._died(f"the trial's process was ended by {_cause(process.exit_code)}", stacks)
        if not sound:
            self._end(process)
        return reply

    def flush(self) -> None:
        """Have the trial under way saved, unless it is. To be called between steps."""
        if self._process is not None:
            with contextlib.suppress(EOFError, OSError):  # it is dead: what was saved is saved
                self._process.pipe.send(FLUSH)
                self._process.pipe.recv()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._end(self._process)
        self._lease.close()

    def _start(self) -> Forked:
        # The process takes the name away once it has the file open, so nothing is left behind however both of us end.
        descriptor, stacks = tempfile.mkstemp(prefix="flyp-sweep-")
        self._stacks = os.fdopen(descriptor, errors="replace")
        try:
            self._process = self._lease.fork(serve, self.settings, stacks)
        except OSError:
            self._stacks.close()
            os.unlink(stacks)
            raise
        self._told = False
        return self._process

    def _end(self, process: Forked) -> None:
        self._stacks.close()
        process.end()  # one that has nothing more to say may yet wait for a thread that hangs
        self._process = None

    def _hung(self, process: Forked) -> Reply:
        process.signal(signal.SIGUSR1)
        time.sleep(TRACE_SECONDS)
        stacks = self._stacks.read()
        self._end(process)
        return self._died(f"it hung: nothing was reported for {self.settings.hang_seconds:g} s", stacks)

    def _died(self, reason: str, log: str | None = None) -> Reply:
        return _ending(DIED, time.time() - self._began, reason=reason, log=log)


def serve(pipe: Connection, settings: Settings, stacks: str) -> None:
    """The process itself: runs trial after trial with model and data kept warm, a step for every NEXT.

    On SIGUSR1 it writes the stacks of its threads into the file `stacks`, also from inside a call that never returns.
    """
    with open(stacks, "w") as file:
        os.unlink(stacks)
        faulthandler.enable(file=file)
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
        server = Server(settings)
        signal.signal(signal.SIGTERM, server.asked_to_leave)
        threading.Thread(target=_die_with_worker, args=(server, pipe), daemon=True).start()
        while True:
            try:
                message = pipe.recv()
            except (EOFError, ConnectionError):  # the worker is gone
                server.leave()
            if message == NEXT:
                reply = server.step()
                with contextlib.suppress(BrokenPipeError):
                    pipe.send((reply, server.sound))
            elif message == FLUSH:
                server.flush()
                pipe.send(None)
            else:
                server.begin(TrialSpec.from_json(message))


class Server:
    """Runs one trial after the other in this process; not `sound`: this process had better not go on."""

    def __init__(self, settings: Settings) -> None:
        import torch

        from search_spaces.loading import from_mapping
        from trainers.cache import Cache
        from trainers.runner import TrialRunner

        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs every allocation
        self.sound = True
        self.busy = self.leaving = False
        self.checkpoint: Checkpoint | None = None
        self.policy = settings.policy
        self.machine = machine(settings.device, settings.threads)
        self.runner = TrialRunner(
            from_mapping(settings.space),
            Path(settings.data_root),
            torch.device(settings.device),
            settings.threads,
            Cache.of_machine(),
        )

    def begin(self, spec: TrialSpec) -> None:
        self.spec = spec
        self.checkpoint = Checkpoint(self.policy, spec.trial_id)
        self.trial: Generator[Epoch, None, TrialResult] | None = None

    def asked_to_leave(self, *_: object) -> None:
        """On SIGTERM, which may come to a whole group: leave, but after the epoch under way if there is one."""
        self.leaving = True
        if not self.busy:
            self.leave()

    def leave(self) -> None:
        """End this process; what is done of its trial need not be done again."""
        self.flush()
        os._exit(0)

    def flush(self) -> None:
        """Save the trial under way, unless it is."""
        if self.checkpoint is not None:
            self.checkpoint.flush()

    def step(self) -> Reply:
        """The next report of the trial, or its ending."""
        self.busy = True
        try:
            return self._step()
        finally:
            self.busy = False
            if self.leaving:
                self.leave()

    def _step(self) -> Reply:
        try:
            if self.trial is None:
                self.trial = self.runner.run(self.spec, self.checkpoint)
            report = asdict(next(self.trial))
            return report if finite(report) else self._no_number()
        except StopIteration as end:
            result = end.value.to_json()
            return self._end(DONE, result=result) if finite(result) else self._no_number()
        except TrialFailed as failure:
            return self._end(FAILED, reason=str(failure))
        except InputError as error:
            return self._end(UNREADABLE, reason=str(error))
        except Exception as error:
            self.sound = not may_pass(error)
            reason = f"{type(error).__name__}: {error}"
            return self._end(FAILED if self.sound else DIED, reason=reason, log=traceback.format_exc())

    def _no_number(self) -> Reply:
        return self._end(FAILED, reason="a score, loss or result of the trial is not finite")

    def _end(self, status: str, **more: Any) -> Reply:
        assert self.checkpoint is not None
        seconds = self.checkpoint.seconds
        self.trial = None
        self.checkpoint = None
        return _ending(status, seconds, machine=self.machine, **more)


def finite(value: Any) -> bool:
    """Whether no number in a JSON value is NaN or infinite."""
    if isinstance(value, dict | list):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def may_pass(error: Exception) -> bool:
    """Whether another attempt, in another process, may not meet this error: an I/O error, memory, a broken GPU."""
    import torch

    return isinstance(error, OSError | MemoryError | torch.AcceleratorError | torch.OutOfMemoryError)


def _ending(status: str, seconds: float, **more: Any) -> Reply:
    ending = {"status": status, "seconds": seconds, **more}
    return {"done": True, "ending": json.dumps(ending)}  # text: Ray flattens nested results


def _cause(exit_code: int | None) -> str:
    if exit_code is None:
        return "an unknown cause (the process that it was forked from has died as well)"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    number = -exit_code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"{name} (often the kernel's, for want of memory)" if number == signal.SIGKILL else name


def _die_with_worker(server: Server, pipe: Connection) -> None:
    """A worker that is killed cannot end its process. Between steps that is done by whoever reads the pipe."""
    closed = select.poll()
    closed.register(pipe, getattr(select, "POLLRDHUP", 0))  # a hang-up is told unasked; Linux can tell half of one
    closed.poll()
    while not server.busy:
        time.sleep(0.05)
    os._exit(1)
