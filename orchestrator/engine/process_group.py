"""Several processes of one worker that train each trial together, in step (see `trainers.distributed`)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import signal
import tempfile
import threading
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from flyp_sweep.orchestrator.engine.settings import Reply, Settings, ending, ending_in
from flyp_sweep.orchestrator.engine.stacks import cause, last_words
from flyp_sweep.trainers.spec import DIED, DONE, TrialSpec

STRAGGLER_SECONDS = 2.0
"""How long the other processes may go on when one has given up the trial: waiting for it, they never end."""

PARENT_SECONDS = 0.5


class ProcessGroup:
    """Runs one trial after the other in several processes. What ends a trial in one ends it in all.

    The processes start with the first step, and anew after a death.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._members: dict[Connection, BaseProcess] = {}  # in order of rank, each by our end of its pipe
        self._meeting: Path | None = None

    def begin(self, spec: TrialSpec, inexact: str | None = None) -> None:
        """As `TrialSteps.begin`, in all processes."""
        self._trial = spec, inexact
        self._began = time.time()
        self._told = False

    def step(self) -> Reply:
        """As `TrialSteps.step`, in all processes; a death of one is an ending of the trial."""
        try:
            if not self._members:
                self._start()
        except OSError as error:
            self.close()
            return self._died(f"no process could be started for the trial: {error}")
        for pipe in self._members:
            with contextlib.suppress(OSError):  # who waits for the reply hears that the process is dead
                if not self._told:
                    pipe.send(self._trial)
                pipe.send("step")
        self._told = True
        try:
            reply, in_step = self._replies()
        except (EOFError, OSError):
            time.sleep(PARENT_SECONDS)  # in which the others write their last words
            words = last_words(self.settings.stacks, self._trial[0].trial_id)
            reason = cause(words) if words else self._exit_codes()
            self.close()
            return self._died(reason, words)
        if not in_step:
            self.close()
        # The processes start anew where need be, so the worker itself can go on.
        return {**reply, "done": True} if "ending" in reply else reply

    def flush(self) -> None:
        """Save the trial under way. To be called between steps."""
        if self._members:
            first = next(iter(self._members))
            with contextlib.suppress(EOFError, OSError):  # what was saved before is saved
                first.send("flush")
                first.recv()

    def close(self) -> None:
        """End the processes, and remove the files in which they would have written their stacks."""
        for pipe, process in self._members.items():
            process.kill()
            process.join()
            pipe.close()
        self._members = {}
        last_words(self.settings.stacks, self._trial[0].trial_id)
        if self._meeting is not None:
            self._meeting.unlink(missing_ok=True)

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["flyp_sweep.orchestrator.engine.trial_steps"])
        self._meeting = Path(tempfile.gettempdir(), f"flyp-sweep-{secrets.token_hex(8)}")
        self._told = False
        for rank in range(self.settings.resources.world):
            pipe, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, self.settings, rank, str(self._meeting)), daemon=True
            )
            with theirs:
                process.start()
            self._members[pipe] = process

    def _replies(self) -> tuple[Reply, bool]:
        """The trial's next report or ending, and whether all can go on from there.

        Raises EOFError or OSError when a process has died.
        """
        replies: dict[Connection, Reply] = {}
        while waiting := [pipe for pipe in self._members if pipe not in replies]:
            ready = wait(waiting, STRAGGLER_SECONDS if any(map(gave_up, replies.values())) else None)
            if not ready:
                break
            replies |= {pipe: pipe.recv() for pipe in waiting if pipe in ready}
        lost = [reply for reply in replies.values() if gave_up(reply)]
        if lost and len(lost) < len(self._members):
            return lost[0], False
        first = next(iter(self._members))
        return replies[first], all("done" in reply or "ending" not in reply for reply in replies.values())

    def _exit_codes(self) -> str:
        """Why a process ended that has left no last words."""
        for process in self._members.values():
            process.join(PARENT_SECONDS)
        codes = [process.exitcode for process in self._members.values() if process.exitcode is not None]
        number = -min(codes, default=0)
        if number == signal.SIGKILL:
            return "a process of the trial was ended by SIGKILL (often the kernel's, for want of memory)"
        if number > 0:
            return f"a process of the trial was ended by {signal.Signals(number).name}"
        return f"a process of the trial ended with exit code {max(codes, default='unknown')}"

    def _died(self, reason: str, log: str | None = None) -> Reply:
        return ending(DIED, time.time() - self._began, reason=reason, log=log)


def gave_up(reply: Reply) -> bool:
    """Whether a process will not go on with the trial."""
    ended = ending_in(reply)
    return ended is not None and ended["status"] != DONE


def _serve(pipe: Connection, settings: Settings, rank: int, meeting: str) -> None:
    """The process itself: takes up the trials that it is sent, and answers every "step" and "flush"."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from flyp_sweep.orchestrator.engine.trial_steps import TrialSteps

    steps = TrialSteps(settings, rank, meeting)
    while True:
        message = pipe.recv()  # ends with an EOFError when the group is closed
        if message == "step":
            pipe.send(steps.step())
        elif message == "flush":
            steps.flush()
            pipe.send(None)
        else:
            steps.begin(*message)


def _end_with_parent() -> None:
    """A worker that is killed cannot end its processes, and one that computes does not look at its pipe."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
