"""`log.txt` of a run folder: events with times, for users who look into a problem."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
from collections.abc import Generator
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


class RunLog:
    """Collects the log of one go at a run, and writes it to `log.txt` once the run folder is there."""

    def __init__(self) -> None:
        self._buffer = logging.handlers.MemoryHandler(EARLY_LINES, flushLevel=logging.CRITICAL + 1)
        self._file: logging.FileHandler | None = None

    def write_to(self, folder: Path) -> None:
        """Append to the log of this run folder from now on, what was said before included."""
        self._file = file_handler(folder)
        self._buffer.setTarget(self._file)
        self._buffer.flush()
        root = logging.getLogger()
        root.addHandler(self._file)
        root.removeHandler(self._buffer)

    @contextlib.contextmanager
    def collecting(self, verbose: IO[str] | None = None) -> Generator[None]:
        """Inside the block all loggers write here: ours from INFO on, those of libraries from WARNING on.

        Each line goes to the stream `verbose` as well.
        """
        root, ours = logging.getLogger(), logging.getLogger("flyp_sweep")
        ours.setLevel(logging.INFO)
        root.addHandler(self._buffer)
        shown = logging.StreamHandler(verbose) if verbose else None
        if shown:
            shown.setFormatter(logging.Formatter(FORMAT))
            root.addHandler(shown)
        # Ray Tune warns of every trial whose result files it does not find; we have it write none.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for handler in (self._buffer, self._file, shown):
                if handler is not None:
                    root.removeHandler(handler)
                    handler.close()
