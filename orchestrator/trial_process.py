"""The process that trials run in: forked in milliseconds from one that has imported what they need, and expendable.

Whatever kills it (the kernel for want of memory, a crash in native code, a hung call) costs no more than the epoch
under way: the worker that owns it says why, and forks another.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Generator
from dataclasses import asdict, dataclass
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from orchestrator.machine import machine
from search_spaces.errors import InputError
from trainers.checkpoints import Checkpoint, Policy
from trainers.failure import TrialFailed
from trainers.spec import DIED, DONE, FAILED, UNREADABLE, Epoch, TrialResult, TrialSpec

PRELOADED = ["orchestrator.trial_process", "trainers.preload"]
NEXT, FLUSH = "next", "flush"
TRACE_SECONDS = 2.0
"""What a process that hangs gets to write down where."""

Reply = dict[str, Any]
"""An `Epoch` as a dict, or `{"ending": ...}` with the ending as JSON text."""


@dataclass(frozen=True)
class Settings:
    """What all trials of a worker have in common; `hang_seconds` None: a trial may take forever."""

    space: dict[str, Any]
    data_root: str
    policy: Policy
    threads: int
    device: str
    hang_seconds: float | None


class TrialProcess:
    """A trial's process, seen from the worker that owns it. Made anew for the first trial, and after each death."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._trace = Path(tempfile.gettempdir()) / f"flyp-sweep-{os.getpid()}.trace"
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        with _no_main_module():
            forkserver.ensure_running()  # does not wait for the imports
        self._process: ForkServerProcess | None = None

    def begin(self, spec: TrialSpec) -> None:
        """Take up the trial at the next `step`."""
        self._spec = spec
        self._began = time.time()
        self._told = False

    def step(self) -> Reply:
        """Run one epoch, or all that follows the last one; never raises for what happens to the trial."""
        process = self._process or self._start()
        try:
            if not self._told:
                self._pipe.send(self._spec.to_json())
                self._told = True
            self._pipe.send(NEXT)
            if not self._pipe.poll(self.settings.hang_seconds):
                return self._hung(process)
            reply, sound = self._pipe.recv()
        except (EOFError, OSError):
            self._end(process)
            return self._died(f"the trial's process was ended by {_cause(process.exitcode)}")
        if not sound:
            self._end(process)
        return reply

    def flush(self) -> None:
        """Have the trial under way saved, unless it is. To be called between steps."""
        if self._process is not None:
            with contextlib.suppress(EOFError, OSError):  # it is dead: what was saved is saved
                self._pipe.send(FLUSH)
                self._pipe.recv()

    def _start(self) -> ForkServerProcess:
        with _no_main_module():
            self._pipe, theirs = self._context.Pipe()
            process = self._context.Process(target=serve, args=(theirs, self.settings, self._trace), daemon=True)
            process.start()
        theirs.close()
        self._told = False
        self._process = process
        return process

    def _end(self, process: ForkServerProcess) -> None:
        self._pipe.close()
        process.join()
        self._process = None

    def _hung(self, process: ForkServerProcess) -> Reply:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGUSR1)
        time.sleep(TRACE_SECONDS)
        process.kill()
        self._end(process)
        stacks = self._trace.read_text(errors="replace") if self._trace.exists() else None
        return self._died(f"it hung: nothing was reported for {self.settings.hang_seconds:g} s", stacks)

    def _died(self, reason: str, log: str | None = None) -> Reply:
        return _ending(DIED, self._began, reason=reason, log=log)


def serve(pipe: Connection, settings: Settings, trace: Path) -> None:
    """The process itself: runs trial after trial with model and data kept warm, a step for every NEXT."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's affair
    with trace.open("w") as file:
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
        server = Server(settings)
        while True:
            try:
                message = pipe.recv()
            except EOFError:
                return
            if message == NEXT:
                pipe.send((server.step(), server.sound))
            elif message == FLUSH:
                server.checkpoint.flush()
                pipe.send(None)
            else:
                server.begin(TrialSpec.from_json(message))


class Server:
    """Runs one trial after the other in this process; not `sound`: this process had better not go on."""

    def __init__(self, settings: Settings) -> None:
        import torch

        from search_spaces.loading import from_mapping
        from trainers.runner import TrialRunner

        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs every allocation
        self.sound = True
        self.policy = settings.policy
        self.machine = machine(settings.device, settings.threads)
        self.runner = TrialRunner(
            from_mapping(settings.space), Path(settings.data_root), torch.device(settings.device), settings.threads
        )

    def begin(self, spec: TrialSpec) -> None:
        self.began = time.time()
        self.spec = spec
        self.checkpoint = Checkpoint(self.policy, spec.trial_id)
        self.trial: Generator[Epoch, None, TrialResult] | None = None

    def step(self) -> Reply:
        """The next report of the trial, or its ending."""
        try:
            if self.trial is None:
                self.trial = self.runner.run(self.spec, self.checkpoint)
            return asdict(next(self.trial))
        except StopIteration as end:
            return self._end(DONE, result=end.value.to_json())
        except TrialFailed as failure:
            return self._end(FAILED, reason=str(failure))
        except InputError as error:
            return self._end(UNREADABLE, reason=str(error))
        except Exception as error:
            self.sound = not may_pass(error)
            reason = f"{type(error).__name__}: {error}"
            return self._end(FAILED if self.sound else DIED, reason=reason, log=traceback.format_exc())

    def _end(self, status: str, **more: Any) -> Reply:
        self.trial = None
        self.checkpoint = Checkpoint(self.policy, self.spec.trial_id)  # nothing is left to be saved
        return _ending(status, self.began, machine=self.machine, **more)


def may_pass(error: Exception) -> bool:
    """Whether another attempt, in another process, may not meet this error: an I/O error, memory, a broken GPU."""
    import torch

    return isinstance(error, OSError | MemoryError | torch.AcceleratorError)


def _ending(status: str, began: float, **more: Any) -> Reply:
    ending = {"status": status, "seconds": time.time() - began, **more}
    return {"done": True, "ending": json.dumps(ending)}  # text: Ray flattens nested results


def _cause(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    number = -exit_code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"{name} (often the kernel's, for want of memory)" if number == signal.SIGKILL else name


def _die_with_parent() -> None:
    """A worker that is killed cannot end its process itself."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _no_main_module() -> contextlib.AbstractContextManager[Any]:
    """Processes import the main module of their parent: Ray's would cost them a second, and is of no use to them."""
    return mock.patch.dict(sys.modules, {"__main__": ModuleType("__main__")})
