"""The MLflow mirror in a process of its own, which `orchestrator.tracking.mirror` starts.

The process reads two JSON lines from stdin: what to mirror where, and, at the end of the sweep, what to put on the
parent run. It answers the second with one JSON line on stdout: null, or what went wrong. If stdin ends before the
second line, the driver is dead and the process ends at once. The next mirror repairs half-written runs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat
from queue import Empty, Queue

from flyp_sweep.orchestrator.run_log import file_handler
from flyp_sweep.orchestrator.tracking.credentials import redacted
from flyp_sweep.orchestrator.tracking.mlflow_logger import MlflowLogger
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.running_trials import read_running
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError

log = logging.getLogger("flyp_sweep.orchestrator.tracking.mirror_process")  # `__name__` is `__main__`

LOOK_SECONDS = 1.0
"""How often the files of the running trials are read."""
MOST_WAITING = 100
"""Records that are read before they can be written: a ledger may be larger than the memory."""
RETRY_SECONDS = (0.5, 1, 2, 5, 10, 30)
PATIENCE_SECONDS, PATIENCE_IN_TROUBLE = 30.0, 5.0
"""How long the end of a sweep waits for a store that is slow, and for one that refuses."""
PERMANENT = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""MLflow's codes of errors that are of what is written, not of the store."""
NICENESS = 10
"""Trials come first where all cores are at work, but for the seconds until the store is open."""


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the driver, which tells its mirror when it is done
        signal.signal(number, signal.SIG_IGN)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # for whoever prints
    told = json.loads(sys.stdin.readline())
    folder = RunFolder(told["path"])
    ours = logging.getLogger("flyp_sweep")  # not the root: lines of MLflow may hold passwords
    ours.setLevel(logging.INFO)
    ours.addHandler(file_handler(folder.path))
    follower = Follower(told["uri"], told["experiment"], folder)
    if closing := sys.stdin.readline():
        answer = json.dumps(follower.close(**json.loads(closing))).encode()
        with contextlib.suppress(BrokenPipeError):  # the driver was given no time to wait for it
            os.write(answers, answer)
    os._exit(0)  # whatever the store is being asked


class Follower:
    """Writes the trials of a run folder, present and future ones, to a tracking store.

    One thread follows the ledger, and another one writes: finished trials first, and the running ones of which the run
    folder tells. Writes that fail are repeated with growing pauses; `trouble` is the last error, None after a success.
    """

    def __init__(self, uri: str, experiment: str, folder: RunFolder) -> None:
        self.trouble: str | None = None
        self._make = lambda: MlflowLogger(uri, experiment, folder)
        self._folder = folder
        self._finished: Queue[TrialRecord | None] = Queue(MOST_WAITING)
        self._logger: MlflowLogger | None = None
        self._refused: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="mlflow-mirror", daemon=True)
        self._thread.start()
        threading.Thread(target=self._follow, name="ledger", daemon=True).start()

    def close(self, description: str, *, complete: bool) -> str | None:
        """Wait some seconds for the thread, then finish the parent run; returns what went wrong, if anything."""
        self._closing.set()
        self._thread.join(PATIENCE_IN_TROUBLE if self.trouble else PATIENCE_SECONDS)
        if self._thread.is_alive():
            return self.trouble or "it is still being written"
        try:
            self._logger = self._logger or self._make()
            self._logger.finish(description, complete=complete)
            return self._refused
        except Exception as error:
            self._note(error)
            return self.trouble

    def _follow(self) -> None:
        try:
            for record in self._folder.ledger.follow(self._closing):
                if isinstance(record, TrialRecord):
                    self._finished.put(record)
        except (OSError, InputError) as error:  # a ledger that could be read when the sweep began
            log.error("the ledger cannot be read, so MLflow stays behind: %s", one_line(str(error)))
        finally:
            self._finished.put(None)

    def _write_all(self) -> None:
        """Write until the ledger has come to its end. Without a store yet, this makes the store's tables."""
        self._write(lambda logger: None)
        os.nice(NICENESS)  # this thread's
        looked = 0.0
        while True:
            if not self._closing.is_set() and time.monotonic() - looked > LOOK_SECONDS:
                self._write(self._show_running)
                looked = time.monotonic()
            try:
                record = self._finished.get(timeout=LOOK_SECONDS)
            except Empty:
                continue
            if record is None:
                return
            self._write(partial(_add, record))

    def _show_running(self, logger: MlflowLogger) -> None:
        for trial in read_running(self._folder.running):
            logger.show(trial)

    def _note(self, error: Exception | None) -> None:
        """Keep the last error of the store, and log it when it changes."""
        trouble = (one_line(str(error)) or type(error).__name__) if error else None
        if trouble and trouble != self.trouble:
            log.warning("MLflow cannot be written: %s", redacted(trouble))
        elif self.trouble and not trouble:
            log.info("MLflow can be written again")
        self.trouble = trouble

    def _write(self, write: Callable[[MlflowLogger], None]) -> None:
        """Open the store if need be and `write`, as often as it takes."""
        for pause in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                self._logger = self._logger or self._make()
                write(self._logger)
                self._note(None)
                return
            except Exception as error:  # whatever a store can throw: the ledger has the record
                self._note(error)
                if is_permanent(error):
                    self._refused = self.trouble
                    return
                # The write may have arrived in part, so the next connection looks for the trials in the store again.
                self._logger = None
                if self._closing.is_set():
                    time.sleep(RETRY_SECONDS[0])
                self._closing.wait(pause)


def _add(record: TrialRecord, logger: MlflowLogger) -> None:
    logger.add(record, is_last=False)


def is_permanent(error: Exception) -> bool:
    """Whether the same write would be refused again and again."""
    return isinstance(error, InputError) or getattr(error, "error_code", None) in PERMANENT


if __name__ == "__main__":
    main()
