"""SIGINT and SIGTERM: a sweep that is asked to end does so in its own time, but not longer than it was given."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

from orchestrator.exit_codes import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)

GRACE_SECONDS = 25.0
"""What a sweep may take to end: job managers kill 30 s after SIGTERM."""

SAME_REQUEST_SECONDS = 2.0
"""A signal that comes twice within this time, to the process and to its group, is one request."""


class Interruption:
    """Whether the sweep was asked to end."""

    def __init__(self, last_words: Callable[[], None]) -> None:
        self._last_words = last_words
        self._asked: float | None = None
        self._patience = threading.Timer(GRACE_SECONDS, self.leave)
        self._patience.daemon = True

    def listen(self) -> None:
        """Hear SIGINT and SIGTERM from now on; to be called again after whatever takes them over, as Ray does."""
        for number in SIGNALS:
            signal.signal(number, self.handle)

    @property
    def asked(self) -> bool:
        return self._asked is not None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: the first request is noted, a second one leaves at once."""
        if self._asked is None:
            self._asked = time.monotonic()
            self._patience.start()
        elif time.monotonic() - self._asked > SAME_REQUEST_SECONDS:
            self.leave()

    def over(self) -> None:
        """The sweep has ended: there is nothing to lose patience with."""
        self._patience.cancel()

    def leave(self) -> None:
        """End this process here and now, e.g. when Ray's servers got the signal too and no longer answer.

        The ledger is whole after every line, so nothing is lost.
        """
        try:
            self._last_words()
        finally:
            os._exit(INTERRUPTED)


@contextmanager
def interruptible(last_words: Callable[[], None]) -> Generator[Interruption]:
    """Inside the block SIGINT and SIGTERM are noted and do not raise; `last_words` is called if it has to be left."""
    interruption = Interruption(last_words)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interruption.listen()
    try:
        yield interruption
    finally:
        interruption.over()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_as_sigint() -> Generator[None]:
    """SIGTERM raises KeyboardInterrupt as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
