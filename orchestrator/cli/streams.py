"""Standard streams that may be closed, full or ASCII alone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Generator
from typing import Any, TextIO


class Forgiving(io.FileIO):
    """A descriptor to write to that may fail: what cannot be written is dropped, and `failure` is the first error."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = self.failure or error
            return memoryview(data).nbytes


@contextlib.contextmanager
def standard_streams() -> Generator[None]:
    """Inside the block stdout and stderr are `Forgiving` and take any character; a closed stream leads nowhere.

    Without this a file that is opened first would get the number of a closed stream, and what is printed to there.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(lowest, True)
    os.close(lowest)
    out, err = _forgiving(sys.stdout, 1), _forgiving(sys.stderr, 2)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            out.flush()
            err.flush()


def failure(stream: TextIO) -> OSError | None:
    """Why something could not be written to a standard stream; None where all could."""
    stream.flush()
    raw = stream.buffer.raw if isinstance(stream, io.TextIOWrapper) else None
    return raw.failure if isinstance(raw, Forgiving) else None


def _forgiving(stream: TextIO | None, descriptor: int) -> TextIO:
    """The stream in place of a standard one; None: that is closed. One that a program has put there stays."""
    if stream not in (None, sys.__stdout__, sys.__stderr__):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(Forgiving(descriptor, "w", closefd=False)),
        encoding=stream.encoding if stream else "utf-8",
        errors="replace",
        line_buffering=stream is not None and stream.line_buffering,
        write_through=stream is not None and stream.write_through,
    )
