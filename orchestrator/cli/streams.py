"""Standard streams that may be closed, full or ASCII alone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Generator
from typing import IO, Any


class Forgiving:
    """A standard stream that may fail: what cannot be written is dropped, and work goes on.

    After the first failure the rest goes to the null device, so that Python finds nothing to flush when it ends.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):  # a ValueError: it was closed
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def silence(stream: Any) -> None:
    """Have all that is written to `stream` from now on, and what its buffer holds, go to the null device."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


@contextlib.contextmanager
def standard_streams() -> Generator[None]:
    """Inside the block this process has three standard streams: a closed one leads nowhere, all take any character.

    Without this a file that is opened first would get the number of a closed stream, and what is printed to there.
    Errors are told on a `Forgiving` stderr.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(lowest, True)
    os.close(lowest)
    with contextlib.ExitStack() as stack:
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        if sys.stderr is None:
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        stack.enter_context(contextlib.redirect_stderr(Forgiving(sys.stderr)))
        yield


def forgiving_stdout() -> contextlib.AbstractContextManager[Any]:
    """Inside the block a reader that is gone, or a full disk behind stdout, is no error."""
    return contextlib.redirect_stdout(Forgiving(sys.stdout))
