"""Sweeps that several tests look at: each runs once in a test session, however many processes run the tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands import run
from filelock import FileLock


@dataclass(frozen=True)
class Finished:
    """A sweep that has run to its end in `folder`, and what it printed. Other tests see the folder: copy to change."""

    name: str
    folder: Path
    output: str

    @property
    def space(self) -> Path:
        """The search space that was run."""
        return self.folder / f"{self.name}.yaml"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "runs" / self.name

    def copied(self, to: Path) -> Path:
        """Copy the search space and the run folder into the folder `to`; returns the run folder there.

        MLflow's store is left out, for it names the original's folder.
        """
        shutil.copy(self.space, to)
        return Path(shutil.copytree(self.run, to / "runs" / self.name))


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
                code, output = run("run", f"{name}.yaml", cwd=folder, timeout=600)
                assert code == 0, output
                done.write_text(json.dumps({"text": text, "output": output}))
            told = json.loads(done.read_text())
        assert told["text"] == text, f"two tests mean different sweeps by {name!r}"
        return Finished(name, folder, told["output"])

    return finish
