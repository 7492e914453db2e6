"""The options of `flyp-sweep run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.orchestrator.store.remote_run import working_copy
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
    command: str = "flyp-sweep run"
    """What the user typed, quoted for a shell: it resumes the run. A password in it has been refused."""

    @property
    def how_to_go_on(self) -> str:
        return f"nothing is lost; go on with: {self.command}"

    @property
    def url(self) -> str | None:
        """The URL of a run folder in a store; None for one on the disk."""
        return self.out if isinstance(self.out, str) else None

    def run_path(self, space: SearchSpace) -> Path:
        """The run folder, or the working copy of the one in a store."""
        if isinstance(self.out, str):
            return working_copy(self.out)
        return self.out or Path("runs") / space.name
