"""SIGINT, SIGTERM, SIGHUP: a sweep that is asked to end does so in its own time, but not longer than it was given."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from flyp_sweep.orchestrator.exit_codes import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""SIGHUP: the terminal is gone, as when a connection breaks; `nohup` ignores the signal, and so it stays."""

GRACE_SECONDS = 25.0
"""What a sweep may take to end: job managers kill 30 s after SIGTERM."""

SAME_REQUEST_SECONDS = 2.0
"""A signal that comes twice within this time, to the process and to its group, is one request."""

STDOUT = 1
SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """Whether the sweep was asked to end.

    A request ends the process at once, but is only noted inside `noting`: whoever works there looks at `asked`.
    `at_the_last`, which takes no lock, is called with the last words before the process is left.
    Nothing is ever raised where the program happens to be: that could be amid code that then keeps a lock for ever.
    """

    def __init__(self, last_words: str) -> None:
        self._last_words = last_words
        self.at_the_last: Callable[[str], None] = lambda words: None
        self._asked: float | None = None
        self._noting = False
        self.patience = threading.Timer(GRACE_SECONDS, self.leave)
        self.patience.daemon = True

    def listen(self) -> None:
        """Hear the signals from now on; to be called again after what takes them over, as Ray's C++ does."""
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.handle)

    @property
    def asked(self) -> bool:
        return self._asked is not None

    @contextmanager
    def noting(self, heard: Callable[[], None] = lambda: None) -> Generator[None]:
        """Inside the block a request does not end the process. `heard` is called then, in a thread: it may take locks,
        which the code that a handler interrupts may hold."""
        self._answer = threading.Thread(target=heard, name="interruption", daemon=True)
        self.listen()
        self._noting = True
        try:
            yield
        finally:
            self._noting = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: with a request that is noted the time runs that is left to end; another leaves at once."""
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            self.patience.start()
            if not self._noting:
                self.leave()
            self._answer.start()
        elif now - self._asked > SAME_REQUEST_SECONDS:
            self.leave()

    def give_up(self, reason: str) -> None:
        """End this process, which cannot go on; the `reason` is said unless it was asked to end anyway."""
        if not self.asked:
            self._last_words = f"error: {reason}\n{self._last_words}"
        self.leave()

    def leave(self) -> NoReturn:
        """End this process here and now, e.g. when Ray's servers got the signal too and no longer answer.

        The ledger is whole after every line, so nothing is lost. The words go round all buffers and their locks.
        """
        try:
            self.at_the_last(self._last_words)
            shown = f"\n{SHOW_CURSOR}" if os.isatty(STDOUT) else ""
            os.write(STDOUT, os.fsencode(f"{shown}{self._last_words}\n"))
        finally:
            os._exit(INTERRUPTED)


@contextmanager
def interruptible(last_words: str) -> Generator[Interruption]:
    """Inside the block these signals are requests to end; `last_words` are said if there is time for no more."""
    interruption = Interruption(last_words)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interruption.listen()
    try:
        yield interruption
    finally:
        interruption.patience.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
