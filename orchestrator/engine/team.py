"""The processes of a worker: one, or several with a part of the same trial each (`trainers.training.distributed`)."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine.trial_process import FLUSH, NEXT, Died, Place, Reply, Settings, TrialProcess, ending
from flyp_sweep.trainers.spec import DIED, DONE, TrialSpec

STRAGGLER_SECONDS = 2.0
"""How long the others may go on when one has given up the trial: those that wait for it never end by themselves."""


class Team:
    """Runs one trial after the other, all processes in step. What one meets ends the trial in all of them.

    They are started for the first trial, and anew after a death.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._processes = [TrialProcess(settings) for _ in range(settings.processes)]
        self._meeting: Path | None = None
        self._started = False

    def begin(self, spec: TrialSpec) -> None:
        """Take up the trial at the next `step`."""
        self._spec = spec
        self._inexact: str | None = None
        self._began = time.time()
        self._told = False

    def step(self) -> Reply:
        """Run one epoch, or all that follows the last one; never raises for what happens to the trial.

        One for which torch lacks code that repeats its bits is begun anew, in all processes, to do without.
        """
        reply = self._step()
        if self._inexact is None and (inexact := ended(reply).get("inexact")):
            self._inexact = inexact
            self._told = False
            reply = self._step()
        return reply

    def _step(self) -> Reply:
        try:
            self._start()
        except OSError as error:
            self._end()
            return self._died(f"no process was to be had for the trial: {error}")
        trial = {"spec": self._spec.to_json(), "inexact": self._inexact}
        for process in self._processes:
            process.tell(*([] if self._told else [trial]), NEXT)
        self._told = True
        try:
            reply, in_step = self._answers()
        except Died as death:
            self._end()
            return self._died(str(death), death.stacks, ran_short=death.ran_short)
        if not in_step:
            self._end()
        return reply

    def flush(self) -> None:
        """Have the trial under way saved, unless it is. To be called between steps."""
        if self._started:
            first = self._processes[0]
            first.tell(FLUSH)
            try:
                first.answer()
            except Died:  # what was saved is saved
                self._end()

    def close(self) -> None:
        """End the processes."""
        self._end()
        for process in self._processes:
            process.close()

    def _start(self) -> None:
        if self._started:
            return
        if len(self._processes) > 1:
            self._meeting = Path(tempfile.gettempdir(), f"flyp-sweep-{secrets.token_hex(8)}")
        self._started = True
        self._told = False
        for rank, process in enumerate(self._processes):
            process.start(Place(rank, str(self._meeting)))

    def _answers(self) -> tuple[Reply, bool]:
        """The trial's next report or ending, and whether all processes can go on from there. Raises Died."""
        waiting = {process.pipe: process for process in self._processes}
        patience = self.settings.hang_seconds
        replies: dict[TrialProcess, Reply] = {}
        gave_up: list[Reply] = []
        all_sound = True
        while waiting:
            ready = wait(list(waiting), patience)
            if not ready and gave_up:
                return gave_up[0], False
            if not ready:
                raise Died(f"it hung: nothing was reported for {patience:g} s", next(iter(waiting.values())).stacks())
            for process in [waiting.pop(pipe) for pipe in list(waiting) if pipe in ready]:
                replies[process], sound = process.answer()
                all_sound &= sound
                if failed(replies[process]):
                    gave_up.append(replies[process])
                    patience = STRAGGLER_SECONDS
        if 0 < len(gave_up) < len(replies):
            return gave_up[0], False
        return replies[self._processes[0]], all_sound

    def _end(self) -> None:
        for process in self._processes:
            process.end()
        if self._meeting is not None:
            self._meeting.unlink(missing_ok=True)
        self._started = False

    def _died(self, reason: str, log: str | None = None, *, ran_short: bool = False) -> Reply:
        return ending(DIED, time.time() - self._began, reason=reason, log=log, ran_short=ran_short)


def ended(reply: Reply) -> dict[str, Any]:
    """How a reply ends the trial; empty if it does not."""
    return json.loads(reply["ending"]) if "ending" in reply else {}


def failed(reply: Reply) -> bool:
    """Whether it ends a trial that has no result."""
    return ended(reply).get("status", DONE) != DONE
