"""Sweeps that several tests look at: each runs once in a test session, however many processes run the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock


@dataclass(frozen=True)
class Finished:
    """A sweep that has run to its end in `folder`, what it printed, and which packages its driver imported.

    Other tests see the folder, too: none changes it.
    """

    name: str
    folder: Path
    output: str
    imported: frozenset[str] = frozenset()

    @property
    def space(self) -> Path:
        """The search space that was run."""
        return self.folder / f"{self.name}.yaml"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "runs" / self.name


DRIVER = """
import sys
from flyp_sweep.orchestrator.cli import main
try:
    main.main()
finally:
    print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""

Finish = Callable[[str, str], Finished]
"""(name, search space as YAML) -> the finished sweep, which must end with exit code 0."""


def finishing(shared: Path) -> Finish:
    """Runs sweeps in folders below `shared`, or waits for the process that does; later calls find what there is."""

    def finish(name: str, text: str) -> Finished:
        folder = shared / "sweeps" / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            done = folder / "done.json"
            if not done.exists():
                (folder / f"{name}.yaml").write_text(text)
                command = [sys.executable, "-c", DRIVER, "run", f"{name}.yaml"]
                ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
                assert ended.returncode == 0, ended.stdout + ended.stderr
                done.write_text(json.dumps([text, *ended.stdout.rsplit("imported:", 1)]))
            same, output, imported = json.loads(done.read_text())
        assert same == text, f"two tests mean different sweeps by {name!r}"
        return Finished(name, folder, output, frozenset(imported.split()))

    return finish
