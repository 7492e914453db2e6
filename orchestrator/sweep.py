"""`flyp-sweep run`: the whole protocol, from a search space to tables and figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console

from orchestrator.exit_codes import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED
from orchestrator.mirror import Mirror, default_uri
from orchestrator.plan import CellPlan, plan
from orchestrator.progress import Progress
from orchestrator.protocol import Outcome, Protocol
from orchestrator.recorder import Recorder
from results.ledger import last_selections, trials_by_id
from results.records import Record
from results.run_folder import RunFolder
from search_spaces.errors import InputError
from search_spaces.loading import dump, load
from search_spaces.model import Model, SearchSpace

if TYPE_CHECKING:
    from trainers.preflight import Checked


@dataclass(frozen=True)
class Options:
    """What the command line says besides the search space."""

    out: Path | None = None
    data_root: Path = Path("data")
    mlflow: str | None = None
    address: str | None = None
    allow_incomplete: bool = False

    def run_path(self, space: SearchSpace) -> Path:
        return self.out or Path("runs") / space.name


def prepare(
    source: str, overrides: Sequence[str], data_root: Path, allow_incomplete: bool = False
) -> tuple[SearchSpace, list[CellPlan], Checked]:
    """Load and check a search space. Raises InputError for whatever can be known to be wrong before the start.

    With `allow_incomplete`, data sets may hold other numbers of images than published.
    """
    space = load(source, overrides)
    from trainers.preflight import check

    checked = check(space, data_root, allow_incomplete)
    return space, plan(space, checked), checked


def run(source: str, overrides: Sequence[str], options: Options, console: Console) -> int:
    """Run what the run folder's ledger lacks; write tables and figures; return the exit code."""
    data_root = options.data_root.expanduser().resolve()
    space, plans, checked = prepare(source, overrides, data_root, options.allow_incomplete)
    for name, published in checked.incomplete.items():
        splits = ", ".join(f"{split} (published: {images} images)" for split, images in published.items())
        console.print(f"data set {name} holds another number of images in {splits}", style="yellow", markup=False)
    path = options.run_path(space)
    if not path.exists():  # a run that cannot begin leaves no folder behind
        fetch_weights(space.models, console)
    with locked(path):
        folder = open_folder(path, space)
        records = folder.records()
        protocol = Protocol(plans, [Outcome.of(record) for record in trials_by_id(records).values()])
        fetch_weights(still_used(space, protocol), console)
        sweep = Sweep(space, folder, protocol, records, options, console)
        unreadable = sweep.go(data_root)
        code = exit_code(protocol, unreadable)
        sweep.report(code, unreadable, resume=resume_command(source, overrides, options))
        return code


def fetch_weights(models: Iterable[Model], console: Console) -> None:
    """Download once, before there are workers, what the local cache lacks.

    Raises InputError when that cannot be done.
    """
    from trainers import weights

    for model in models:
        weights.fetch(model, lambda line: console.print(line, soft_wrap=True, markup=False))


def still_used(space: SearchSpace, protocol: Protocol) -> list[Model]:
    """The models of the cells that are not over."""
    labels = {cell.plan.cell.model for cell in protocol.cells if not cell.over}
    return [model for model in space.models if model.label in labels]


def exit_code(protocol: Protocol, unreadable: Sequence[str]) -> int:
    if unreadable:
        return BAD_INPUT
    if not protocol.done:
        return INTERRUPTED
    return SOME_FAILED if protocol.failed or not protocol.complete else DONE


class Sweep:
    """One go at a run folder, whose lock is held."""

    def __init__(
        self,
        space: SearchSpace,
        folder: RunFolder,
        protocol: Protocol,
        records: Sequence[Record],
        options: Options,
        console: Console,
    ) -> None:
        self.space = space
        self.folder = folder
        self.protocol = protocol
        self.records = records
        self.options = options
        self.console = console

    def go(self, data_root: Path) -> list[str]:
        """Run all that is left; returns what could not be read."""
        uri = self.options.mlflow or default_uri(self.folder.path)
        artifacts = self.folder.path.resolve() / "mlflow"
        self.mirror = Mirror(uri, self.space.name, self.folder.name, artifacts, self.records)
        progress = Progress(self.protocol, self.console)
        recorder = Recorder(self.folder.ledger, self.protocol, [progress, self.mirror])
        recorder.write_selections(self.protocol.selections, last_selections(self.records))
        self.console.print(
            f"{self.space.name}: {len(self.protocol.cells)} cells, {progress.planned} trials planned, "
            f"{sum(progress.done.values())} done, in {self.folder.path}"
        )
        if not self.protocol.done:
            self._run_trials(data_root, recorder, progress)
        return recorder.unreadable

    def _run_trials(self, data_root: Path, recorder: Recorder, progress: Progress) -> None:
        from orchestrator import cluster

        with progress, cluster.ray_session(self.options.address):
            from orchestrator.scheduler import CellScheduler
            from orchestrator.searcher import ProtocolSearcher

            cluster.tune(
                self.space,
                data_root,
                ProtocolSearcher(self.protocol, recorder),
                CellScheduler(self.space, recorder),
            )

    def report(self, code: int, unreadable: Sequence[str], *, resume: str) -> None:
        """Write and print what came out, bring MLflow up to date, and say how to go on."""
        from orchestrator.outputs import table_of, write_outputs
        from results import render
        from results.formats.text import renderable

        cells = self.space.cells()
        paths = write_outputs(self.folder, cells)
        table = table_of(self.folder, cells)
        self.console.print(renderable(table))
        behind = self.mirror.close(self.folder, render(table, "markdown"), complete=self.protocol.complete)
        if behind:
            uri = f" --mlflow {self.options.mlflow}" if self.options.mlflow else ""
            command = f"flyp-sweep sync {self.folder.path}{uri}"
            self.console.print(
                f"MLflow is behind ({behind}); bring it up to date: {command}", soft_wrap=True, markup=False
            )
        self._say("written: " + ", ".join(str(path) for path in paths))
        for reason in unreadable[:1]:
            self._say(f"error: {reason}", style="red")
        if code in (BAD_INPUT, INTERRUPTED):
            self._say(f"nothing is lost; go on with: {resume}")

    def _say(self, line: str, style: str | None = None) -> None:
        """Print a line as it is: paths and commands are not wrapped, brackets in them are no markup."""
        self.console.print(line, style=style, soft_wrap=True, markup=False)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The run folder for this driver alone. Raises InputError when another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{path}: another flyp-sweep is running in this folder; wait for it or choose --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_folder(path: Path, space: SearchSpace) -> RunFolder:
    """The run folder at `path`, made if need be, with this `space` in it.

    Raises InputError when the folder holds something else, or the run of a space of another name.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return RunFolder.create(path, dump(space))
    folder = RunFolder(path)
    if folder.space.is_file():
        earlier = load(folder.space)
        if earlier.name != space.name:
            raise InputError(
                f"{path}: found a run of search space {earlier.name!r}, expected {space.name!r}; choose another --out"
            )
    folder.space.write_text(dump(space), encoding="utf-8")
    return folder


def resume_command(source: str, overrides: Sequence[str], options: Options) -> str:
    """The command that goes on with this run, quoted for a shell."""
    words = ["flyp-sweep", "run", source]
    words += ["--out", str(options.out)] if options.out else []
    for override in overrides:
        words += ["--set", override]
    words += ["--data-root", str(options.data_root)] if options.data_root != Path("data") else []
    words += ["--mlflow", options.mlflow] if options.mlflow else []
    words += ["--address", options.address] if options.address else []
    words += ["--allow-incomplete"] if options.allow_incomplete else []
    return shlex.join(words)
