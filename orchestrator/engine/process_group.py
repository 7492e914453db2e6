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
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine.settings import Reply, Settings, ending, ending_in
from flyp_sweep.orchestrator.engine.stacks import cause, last_words
from flyp_sweep.trainers.spec import DIED, DONE, TrialSpec

STRAGGLER_SECONDS = 2.0
"""How long the other processes may go on when one has given up the trial: waiting for it, they never end."""

PARENT_SECONDS = 0.5


class ProcessGroup:
    """Runs one trial after the other with `settings.resources.world` processes. What ends a trial in one ends it in all.

    The processes start with the first step, and anew after a death.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._members: list[_Member] = []
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
        for member in self._members:
            member.tell(*([] if self._told else [self._trial]), "step")
        self._told = True
        try:
            reply, in_step = self._replies()
        except EOFError:
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
            with contextlib.suppress(EOFError):  # what was saved before is saved
                self._members[0].tell("flush")
                self._members[0].reply()

    def close(self) -> None:
        """End the processes, and remove the files in which they would have written their stacks."""
        for member in self._members:
            member.end()
        self._members = []
        last_words(self.settings.stacks, self._trial[0].trial_id)
        if self._meeting is not None:
            self._meeting.unlink(missing_ok=True)

    def _start(self) -> None:
        self._meeting = Path(tempfile.gettempdir(), f"flyp-sweep-{secrets.token_hex(8)}")
        self._told = False
        for rank in range(self.settings.resources.world):
            self._members.append(_Member(self.settings, rank, str(self._meeting)))

    def _replies(self) -> tuple[Reply, bool]:
        """The trial's next report or ending, and whether all can go on from there. EOFError: a process has died."""
        waiting = {member.pipe: member for member in self._members}
        replies: dict[int, Reply] = {}
        gave_up: list[Reply] = []
        sound = True
        while waiting:
            ready = wait(list(waiting), STRAGGLER_SECONDS if gave_up else None)
            if not ready:
                return gave_up[0], False
            for member in [waiting.pop(pipe) for pipe in list(waiting) if pipe in ready]:
                reply, its_sound = member.reply()
                replies[member.rank] = reply
                sound &= its_sound
                ended = ending_in(reply)
                if ended and ended["status"] != DONE:
                    gave_up.append(reply)
        if 0 < len(gave_up) < len(replies):
            return gave_up[0], False
        return replies[0], sound

    def _exit_codes(self) -> str:
        """Why a process ended that has left no last words."""
        codes = [code for member in self._members if (code := member.exit_code()) is not None]
        number = -min(codes, default=0)
        if number == signal.SIGKILL:
            return "a process of the trial was ended by SIGKILL (often the kernel's, for want of memory)"
        if number > 0:
            return f"a process of the trial was ended by {signal.Signals(number).name}"
        return f"a process of the trial ended with exit code {max(codes, default='unknown')}"

    def _died(self, reason: str, log: str | None = None) -> Reply:
        return ending(DIED, time.time() - self._began, reason=reason, log=log)


class _Member:
    """One process of a group."""

    def __init__(self, settings: Settings, rank: int, meeting: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["flyp_sweep.orchestrator.engine.trial_steps"])
        self.rank = rank
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings, rank, meeting), daemon=True)
        with theirs:
            self._process.start()

    def tell(self, *messages: Any) -> None:
        """Send messages; who waits for the reply hears that the process is dead."""
        with contextlib.suppress(OSError):
            for message in messages:
                self.pipe.send(message)

    def reply(self) -> tuple[Reply, bool]:
        """What it answers, and whether it is sound. Raises EOFError when it is dead."""
        try:
            reply: tuple[Reply, bool] = self.pipe.recv()
        except OSError as error:
            raise EOFError from error
        return reply

    def exit_code(self) -> int | None:
        self._process.join(PARENT_SECONDS)
        return self._process.exitcode

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, settings: Settings, rank: int, meeting: str) -> None:
    """The process itself: takes up the trials that it is sent, and answers every "step" and "flush"."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from flyp_sweep.orchestrator.engine.trial_steps import TrialSteps

    steps = TrialSteps(settings, rank, meeting)
    while True:
        message = pipe.recv()  # ends with an EOFError when the group is closed
        if message == "step":
            reply = steps.step()
            pipe.send((reply, steps.sound))
        elif message == "flush":
            steps.flush()
            pipe.send(({}, steps.sound))
        else:
            steps.begin(*message)


def _end_with_parent() -> None:
    """A worker that is killed cannot end its processes, and one that computes does not look at its pipe."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
