"""What Ray needs of this machine: looked at before Ray starts, told in one line where it is lacking, left as it was."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # Ray's objects lie there
IGNORED = ("TUNE_RESULT_DIR", "RAY_AIR_LOCAL_CACHE_DIR")
"""Variables that Ray Tune refuses to start with, and reads no more."""

LONGEST_FOLDER = 107 - len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
"""Bytes of the folder that Ray works in: the path of a socket has room for 107."""

WORDS = 300
TAIL = 20


def temporary_folder() -> tuple[str, Path]:
    """The variable that says where Ray works on this machine, and the folder; as Ray chooses it."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if name in os.environ:
            return name, Path(os.environ[name])
    return "RAY_TMPDIR", Path("/tmp")  # noqa: S108


def check_machine() -> None:
    """Raise InputError where a private Ray cannot start on this machine.

    Variables that stop Ray Tune and mean nothing to this program are taken out of the environment.
    """
    for name in IGNORED:
        os.environ.pop(name, None)
    variable, folder = temporary_folder()
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        raise InputError(
            f"{variable}: found {folder}; expected a path of at most {LONGEST_FOLDER} bytes, short enough for Ray's "
            "sockets; set RAY_TMPDIR to a short folder of yours, e.g. RAY_TMPDIR=/tmp"
        )
    try:
        (folder / "ray").mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder / "ray").close()
    except OSError as error:
        raise InputError(
            f"{variable}: found that {folder / 'ray'} cannot be written ({error.strerror}); expected room for Ray's "
            "session; set RAY_TMPDIR to a folder of yours"
        ) from error
    if sys.platform == "linux" and not os.access(SHARED_MEMORY, os.R_OK | os.W_OK | os.X_OK):
        raise InputError(
            f"{SHARED_MEMORY}: found no such folder that can be written; expected shared memory, in which Ray keeps "
            "objects; mount it (in a container: --shm-size 1g, or --tmpfs /dev/shm), no variable moves it"
        )


@contextmanager
def faults_told(log_file: Path) -> Generator[None]:
    """Inside the block whatever Ray raises becomes an InputError of one line; its trace goes to the log."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        log.error("Ray cannot go on", exc_info=True)
        for line in _last_lines():
            log.error("%s", line)
        reason = one_line(str(error)).strip()[:WORDS] or type(error).__name__
        raise InputError(
            f"Ray cannot start or go on ({reason}); {log_file} has the trace; RAY_TMPDIR moves Ray's files, "
            "`resources` in the search space says what a trial takes"
        ) from error


@contextmanager
def session_removed() -> Generator[None]:
    """After the block, remove the session folders that Ray made for this process; the run's log has what matters.

    Those that were there before stay: a process of the same id may be at work in another container that shares /tmp.
    """
    before = _sessions()
    try:
        yield
    finally:
        for folder in _sessions() - before:
            shutil.rmtree(folder, ignore_errors=True)


def _sessions() -> set[Path]:
    return set((temporary_folder()[1] / "ray").glob(f"session_*_{os.getpid()}"))


def _last_lines() -> list[str]:
    """The last lines of the logs of Ray's own servers."""
    lines = []
    for session in sorted(_sessions()):
        for file in sorted((session / "logs").glob("*.err")) + sorted((session / "logs").glob("gcs_server.out")):
            told = file.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
            lines += [f"{file.name}: {line}" for line in told]
    return lines
