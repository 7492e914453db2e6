"""The process that trials run in: forked in milliseconds from one that has imported what they need, and expendable.

Whatever kills it (the kernel for want of memory, a crash in native code, a hung call) costs no more than the epoch
under way: the worker that owns it says why, and has another forked. `orchestrator.engine.team` is the worker's side.
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

from flyp_sweep.orchestrator.engine.fork_server import REST
from flyp_sweep.orchestrator.engine.forked import Forked, Lease
from flyp_sweep.orchestrator.engine.memory import Meter, keep_what_is_freed, return_what_is_freed
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.machine import machine
from flyp_sweep.trainers.spec import DIED, DONE, FAILED, UNREADABLE, Epoch, TrialResult, TrialSpec
from flyp_sweep.trainers.training.checkpoints import Checkpoint, Policy
from flyp_sweep.trainers.training.failure import TrialFailed

PRELOADED = [
    *("torch", "flyp_sweep.orchestrator.engine.checks", "flyp_sweep.trainers.preload"),
    REST,
    *(
        "torchvision",
        "open_clip",
        "scipy.optimize",
        "flyp_sweep.trainers.runner",
        "flyp_sweep.orchestrator.engine.trial_process",
    ),
]
"""What trials import, and first what the checks before a sweep do: these take less than half as long.

The heavy ones stand there by name, for a server that is no longer wanted ends between two of them.
"""
NEXT, FLUSH = "next", "flush"
TRACE_SECONDS = 2.0
"""What a process that hangs gets to write down where."""

Reply = dict[str, Any]
"""An `Epoch` as a dict, with the `Memory` that it took; or `{"ending": ...}`. Both of these are JSON text."""


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
    processes: int = 1
    """How many train each trial together."""
    weights: Policy | None = None
    """Where those of trials are kept that ensembles are made of."""


@dataclass(frozen=True)
class Place:
    """Which of `Settings.processes` a process is, from 0, and the file where they meet."""

    rank: int = 0
    meeting: str = ""


class Died(Exception):
    """A trial's process has ended: why, where it was, and whether that may have been for want of memory."""

    def __init__(self, reason: str, stacks: str | None, *, ran_short: bool = False) -> None:
        super().__init__(reason)
        self.stacks = stacks
        self.ran_short = ran_short


class TrialProcess:
    """A trial's process, seen from the worker that owns it: not there before `start`, and after `end`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lease = Lease(settings.fork_server, PRELOADED)
        self._process: Forked | None = None

    @property
    def pipe(self) -> Connection:
        """Where it answers."""
        assert self._process is not None
        return self._process.pipe

    def start(self, place: Place) -> None:
        """Have it forked. Raises OSError when it is not to be had."""
        # The process takes the name away once it has the file open, so nothing is left behind however both of us end.
        descriptor, stacks = tempfile.mkstemp(prefix="flyp-sweep-")
        self._stacks = os.fdopen(descriptor, errors="replace")
        try:
            self._process = self._lease.fork(serve, self.settings, place, stacks)
        except OSError:
            self._stacks.close()
            os.unlink(stacks)
            raise

    def tell(self, *messages: Any) -> None:
        """Send it messages; if it is dead, that is heard by who waits for its answer."""
        with contextlib.suppress(OSError):
            for message in messages:
                self.pipe.send(message)

    def answer(self) -> Any:
        """What it says next. Raises Died when it has died."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            assert self._process is not None
            self._process.join(TRACE_SECONDS)
            code = self._process.exit_code
            reason = f"the trial's process was ended by {_cause(code)}"
            raise Died(reason, self._stacks.read() or None, ran_short=code == -signal.SIGKILL) from None

    def stacks(self) -> str:
        """Where its threads are, as far as it can say."""
        assert self._process is not None
        self._process.signal(signal.SIGUSR1)
        time.sleep(TRACE_SECONDS)
        return self._stacks.read()

    def end(self) -> None:
        """End it, if it is there: one that has nothing more to say may yet wait for a thread that hangs."""
        if self._process is not None:
            self._stacks.close()
            self._process.end()
            self._process = None

    def close(self) -> None:
        """End it, and let go of the fork server."""
        self.end()
        self._lease.close()


def serve(pipe: Connection, settings: Settings, place: Place, stacks: str) -> None:
    """The process itself: runs trial after trial with model and data kept warm, a step for every NEXT.

    On SIGUSR1 it writes the stacks of its threads into the file `stacks`, also from inside a call that never returns.
    """
    with open(stacks, "w") as file:
        os.unlink(stacks)
        faulthandler.enable(file=file)
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
        server = Server(settings, place)
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
                server.begin(TrialSpec.from_json(message["spec"]), message["inexact"])


class Server:
    """Runs one trial after the other in this process; not `sound`: this process had better not go on."""

    def __init__(self, settings: Settings, place: Place) -> None:
        import torch

        from flyp_sweep.search_spaces.loading import from_mapping
        from flyp_sweep.trainers.data.cache import Cache
        from flyp_sweep.trainers.runner import TrialRunner
        from flyp_sweep.trainers.training.distributed import Ranks

        keep_what_is_freed()
        torch.set_num_threads(settings.threads)
        self.sound = True
        self.busy = self.leaving = False
        self.checkpoint: Checkpoint | None = None
        self.policy = settings.policy
        self.keeps = place.rank == 0
        self.machine = machine(settings.device, settings.threads, settings.processes)
        device = torch.device(settings.device)
        self.meter = Meter(device)
        if device.type == "cuda" and settings.processes > 1:
            device = torch.device("cuda", place.rank)
            torch.cuda.set_device(device)
        self.runner = TrialRunner(
            from_mapping(settings.space),
            Path(settings.data_root),
            device,
            settings.threads,
            Cache.of_machine(),
            Ranks.join(place.rank, settings.processes, device, Path(place.meeting)),
            settings.weights,
        )

    def begin(self, spec: TrialSpec, inexact: str | None = None) -> None:
        """Take up the trial at the next `step`; `inexact` says why its bits may be others the next time."""
        repeat_exactly(strictly=inexact is None)
        return_what_is_freed()
        self.meter.begin()
        self.inexact = inexact
        self.spec = spec
        self.checkpoint = self.policy.checkpoint(spec.trial_id)
        self.checkpoint.keeps = self.keeps
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
            memory = json.dumps(self.meter.read().to_json())
            return {**report, "memory": memory} if finite(report) else self._no_number()
        except StopIteration as end:
            result = end.value.to_json()
            if self.inexact:
                result["notes"] = [*result["notes"], f"another run may differ in the last bits: {self.inexact}"]
            return self._end(DONE, result=result) if finite(result) else self._no_number()
        except TrialFailed as failure:
            return self._end(FAILED, reason=str(failure))
        except InputError as error:
            return self._end(UNREADABLE, reason=str(error))
        except Exception as error:
            self.sound = not may_pass(error)
            status = FAILED if self.sound else DIED
            short = out_of_memory(error)
            reason = f"{type(error).__name__}: {error}"
            inexact = lacks_exact_code(error)
            return self._end(status, reason=reason, log=traceback.format_exc(), ran_short=short, inexact=inexact)

    def _no_number(self) -> Reply:
        return self._end(FAILED, reason="a score, loss or result of the trial is not finite")

    def _end(self, status: str, **more: Any) -> Reply:
        assert self.checkpoint is not None
        seconds = self.checkpoint.seconds
        self.trial = None
        self.checkpoint = None
        return ending(status, seconds, machine=self.machine, memory=self.meter.read().to_json(), **more)


def repeat_exactly(*, strictly: bool) -> None:
    """Have torch compute the same bits each time; to be called before a GPU multiplies matrices.

    Where it has no code for that, it raises a RuntimeError. If not `strictly`, it warns; but then a GPU's attention is
    inexact too, for which there is such code.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products on a GPU may differ
    torch.use_deterministic_algorithms(True, warn_only=not strictly)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs every allocation


def lacks_exact_code(error: Exception) -> str | None:
    """What `repeat_exactly` asked for and torch cannot do, if that is what the error says."""
    reason, asked, _ = str(error).partition(", but you set 'torch.use_deterministic_algorithms(True)'")
    return reason if asked else None


def finite(value: Any) -> bool:
    """Whether no number in a JSON value is NaN or infinite."""
    if isinstance(value, dict | list):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def may_pass(error: Exception) -> bool:
    """Whether another attempt, in another process, may not meet this error: an I/O error, memory, a broken GPU."""
    import torch

    return isinstance(error, OSError | torch.AcceleratorError) or out_of_memory(error)


def out_of_memory(error: Exception) -> bool:
    """Whether there was not enough memory, of the host or of a GPU."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError)


def ending(status: str, seconds: float, **more: Any) -> Reply:
    """The reply that ends a trial, after so many `seconds`."""
    said = json.dumps({"status": status, "seconds": seconds, **more})
    return {"done": True, "ending": said}  # text: Ray flattens nested results


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
