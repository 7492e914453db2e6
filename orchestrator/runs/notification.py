"""The command of `notify`, which a run starts when it ends: by itself, after an interruption, or with an error."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

import click
from rich.console import Console

from flyp_sweep.orchestrator.exit_codes import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace

REPORT = "report.html"
LIMIT_SECONDS = 60.0
"""How long the command may take. The run has ended by then, and only its exit code is still to come."""

STATUSES = {DONE: "done", SOME_FAILED: "failed", BAD_INPUT: "bad_input", INTERRUPTED: "interrupted"}
"""Exit code -> what the command is told."""


@dataclass
class Ending:
    """How a run ends. The block of `notifying` sets `exit_code`; if it cannot, Python ends with 1."""

    space: SearchSpace
    options: RunOptions
    exit_code: int = SOME_FAILED
    began: float = field(default_factory=time.monotonic)

    @property
    def environment(self) -> dict[str, str]:
        """What the command finds in its environment, besides that of the run."""
        path = self.options.run_path(self.space).resolve()
        report = path / REPORT
        return {
            "FLYP_SWEEP_STATUS": STATUSES[self.exit_code],
            "FLYP_SWEEP_EXIT_CODE": str(self.exit_code),
            "FLYP_SWEEP_RUN": self.options.url or str(path),
            "FLYP_SWEEP_NAME": self.space.name,
            "FLYP_SWEEP_SECONDS": str(round(time.monotonic() - self.began)),
            "FLYP_SWEEP_REPORT": str(report) if report.is_file() else "",
        }

    def leave(self) -> None:
        """Start the command and do not wait for it: this process is about to be left after an interruption."""
        if self.space.notify:
            self.exit_code = INTERRUPTED
            with suppress(OSError):
                _start(self.space.notify, self.environment, subprocess.DEVNULL)


@contextmanager
def notifying(space: SearchSpace, options: RunOptions, console: Console) -> Generator[Ending]:
    """After the block, whether or not it raises, run the command of `space.notify`, if there is one.

    A command that fails, or takes longer than `LIMIT_SECONDS`, costs one line of warning and nothing else.
    """
    ending = Ending(space, options)
    try:
        yield ending
    except InputError:
        ending.exit_code = BAD_INPUT
        raise
    except click.exceptions.Abort:  # at a question of ours
        ending.exit_code = INTERRUPTED
        raise
    finally:
        if space.notify and (trouble := run(space.notify, ending.environment)):
            console.print(f"warning: notify: {trouble}", style="yellow", soft_wrap=True)


def run(command: str, environment: Mapping[str, str], limit: float = LIMIT_SECONDS) -> str | None:
    """Run a shell command with `environment` added to ours; returns what went wrong, None if nothing did.

    The output of the command is not shown; if the command fails, its last line is part of the answer.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = _start(command, environment, output)
        except OSError as error:
            return f"the command cannot be started ({error.strerror or error})"
        try:
            code = process.wait(limit)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stop:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(stop, KeyboardInterrupt):
                return "the command was stopped by Ctrl-C"
            return f"the command took longer than {limit:g} s and was stopped"
        if code == 0:
            return None
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()
        return f"the command ended with exit code {code}{f' ({one_line(said[-1])[:200]})' if said else ''}"


def _start(command: str, environment: Mapping[str, str], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, so that all it starts can be stopped together."""
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
