"""The options of `flyp-sweep run`, and the command that resumes a run with the same ones."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.orchestrator.store.remote_run import working_copy
from flyp_sweep.orchestrator.tracking.credentials import has_credentials
from flyp_sweep.search_spaces.model import SearchSpace


@dataclass(frozen=True)
class RunOptions:
    """The options of the command line."""

    out: Path | str | None = None
    data_root: Path = Path("data")
    mlflow: str | None = None
    address: str | None = None
    allow_incomplete: bool = False
    allow_overlap: bool = False
    yes: bool = False
    retry_failed: bool = False
    verbose: bool = False

    @property
    def url(self) -> str | None:
        """The URL of a run folder in a store; None for one on the disk."""
        return self.out if isinstance(self.out, str) else None

    def run_path(self, space: SearchSpace) -> Path:
        """The run folder, or the working copy of the one in a store."""
        if isinstance(self.out, str):
            return working_copy(self.out)
        return self.out or Path("runs") / space.name


def how_to_go_on(resume: str) -> str:
    return f"nothing is lost; go on with: {resume}"


def resume_command(source: str, overrides: Sequence[str], options: RunOptions) -> str:
    """The command that resumes this run, quoted for a shell."""
    words = ["flyp-sweep", "run", source]
    words += ["--out", str(options.out)] if options.out else []
    for override in overrides:
        words += ["--set", override]
    words += ["--data-root", str(options.data_root)] if options.data_root != Path("data") else []
    # A URI with a password came from the environment, which provides it again next time.
    words += ["--mlflow", options.mlflow] if options.mlflow and not has_credentials(options.mlflow) else []
    words += ["--address", options.address] if options.address else []
    words += ["--allow-incomplete"] if options.allow_incomplete else []
    words += ["--allow-overlap"] if options.allow_overlap else []
    words += ["--retry-failed"] if options.retry_failed else []
    words += ["--verbose"] if options.verbose else []
    return shlex.join(words)
