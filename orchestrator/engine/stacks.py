"""The stacks of a worker that hangs or crashes: written by the dying process, read by the driver."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from collections.abc import Generator
from pathlib import Path
from typing import IO

SUFFIX = ".stacks"


class Watchdog:
    """Ends this process when a step of a trial takes too long, and has it write its stacks first.

    The standard library's `faulthandler` does both in C, so neither a held GIL nor a call that never returns is in its
    way. With `folder` None the stacks go to the process's stderr.
    """

    def __init__(self, folder: str | None, hang_seconds: float | None, rank: int = 0) -> None:
        self.folder = Path(folder) if folder else None
        self.hang_seconds = hang_seconds
        self.rank = rank
        self._file: IO[str] | None = None

    def begin(self, trial_id: str) -> None:
        """Write the stacks of this trial from now on, and forget the file of the one before."""
        self.end()
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._file = (self.folder / f"{trial_id}.{self.rank}{SUFFIX}").open("w")
                faulthandler.enable(self._file)

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """A step: the process ends if the block takes longer than `hang_seconds`."""
        if self.hang_seconds is not None:
            faulthandler.dump_traceback_later(self.hang_seconds, exit=True, file=self._file or sys.stderr)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def end(self) -> None:
        """The trial has ended well: remove its file."""
        if self._file is not None:
            faulthandler.enable()
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None


def last_words(folder: str | None, trial_id: str) -> str | None:
    """What the processes of a trial that died have written, removed from `folder`; None where they wrote nothing."""
    if folder is None:
        return None
    texts = []
    for path in sorted(Path(folder).glob(f"{trial_id}.*{SUFFIX}")):
        with contextlib.suppress(OSError):
            texts.append(path.read_text(errors="replace"))
            path.unlink()
    return "\n".join(filter(None, texts)) or None


def cause(words: str | None) -> str:
    """Why a process ended, in a line, from its last words."""
    first = words.partition("\n")[0] if words else ""
    if first.startswith("Timeout"):
        return "it hung: it reported nothing within failures.hang_minutes"
    if first:
        return f"its process crashed ({first})"
    return "its worker died (killed, often for want of memory, or its machine is gone)"
