"""`log.txt` of a run folder: events with times, for users who look into a problem."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

LOG = "log.txt"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
EARLY_LINES = 1000


class LogFile(logging.FileHandler):
    """A log that cannot be written costs nothing: where a disk is full, the ledger says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        """Print no traceback, as logging would."""

    def close(self) -> None:
        """Close the file, whose last lines may find no room."""
        with contextlib.suppress(OSError):
            super().close()


def file_handler(folder: Path) -> logging.FileHandler:
    """Appends to the log of this run folder; several processes may do so."""
    handler = LogFile(folder / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    return handler


def note_at_last(folder: Path, words: str) -> None:
    """Append a line to the log of this run folder, if it has one, past `logging`, whose locks may be held for ever."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} WARNING {__name__}: {' '.join(words.split())}\n"
    with contextlib.suppress(OSError):
        descriptor = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, os.fsencode(line))
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def collecting(verbose: IO[str] | None = None) -> Generator[Callable[[Path], None]]:
    """Inside the block all loggers write to one log: ours from INFO on, those of libraries from WARNING on.

    The block gets a function, which it calls with the run folder once that is there: its log then holds the lines from
    before, too. Each line goes to the stream `verbose` as well.
    """
    early = logging.handlers.MemoryHandler(EARLY_LINES, flushLevel=logging.CRITICAL + 1)
    handlers: list[logging.Handler] = [early]
    if verbose is not None:
        handlers.append(logging.StreamHandler(verbose))
        handlers[-1].setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    for handler in handlers:
        root.addHandler(handler)
    logging.getLogger("flyp_sweep").setLevel(logging.INFO)
    # Ray Tune warns of every trial whose result files it does not find; we have it write none.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)

    def write_to(folder: Path) -> None:
        handlers.append(file_handler(folder))
        early.setTarget(handlers[-1])
        early.capacity = 1  # each line is written as it comes
        early.flush()

    try:
        yield write_to
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
