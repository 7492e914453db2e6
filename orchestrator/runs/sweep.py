"""`flyp-sweep run`: the whole protocol, from a search space to tables and figures."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from flyp_sweep.orchestrator.engine.signals import GRACE_SECONDS, Interruption, interruptible
from flyp_sweep.orchestrator.engine.tune_engine import TuneEngine
from flyp_sweep.orchestrator.engine.work import Engine, Work
from flyp_sweep.orchestrator.exit_codes import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED
from flyp_sweep.orchestrator.protocol.algorithms import algorithm_of
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.run_log import collecting, note_at_last
from flyp_sweep.orchestrator.runs import disk_usage
from flyp_sweep.orchestrator.runs.before import before_lines, steps_line
from flyp_sweep.orchestrator.runs.dry_run import describe
from flyp_sweep.orchestrator.runs.end_of_sweep import report
from flyp_sweep.orchestrator.runs.notification import notifying
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.outdated import asking
from flyp_sweep.orchestrator.runs.prepared import Prepared, prepared
from flyp_sweep.orchestrator.runs.printing import say, wrapped
from flyp_sweep.orchestrator.runs.progress import Progress
from flyp_sweep.orchestrator.runs.recorder import Listener, Recorder
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.orchestrator.store.lock import leave_behind, locked, lost
from flyp_sweep.orchestrator.store.remote_run import PREDICTIONS, WEIGHTS, RemoteRun, kept_in_store, opened
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.orchestrator.tracking.loggers import loggers_of
from flyp_sweep.orchestrator.tracking.loggers.base import LoggedSweep
from flyp_sweep.orchestrator.tracking.loggers.thread import LoggerThread
from flyp_sweep.orchestrator.tracking.mirror import Mirror
from flyp_sweep.orchestrator.tracking.uris import check_uri, default_uri
from flyp_sweep.results.ledger.run_folder import RunFolder, is_unused
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import Checkpoints, Model, SearchSpace
from flyp_sweep.trainers.checkpoints.prediction_files import SUFFIX as PREDICTION_SUFFIX
from flyp_sweep.trainers.preflight import check, check_data
from flyp_sweep.trainers.spec import FAILED

log = logging.getLogger(__name__)

CHECKING = "checking models, methods and data"


def run(
    source: str,
    overrides: Sequence[str],
    options: RunOptions,
    console: Console,
    engine: Engine | None = None,
) -> int:
    """Run what the run folder's ledger lacks; write tables and figures; return the exit code.

    `engine` runs the trials; None: Ray Tune does, on this machine or at `options.address`.
    """
    space = read_space(source, overrides, options)
    with notifying(space, options, console) as ending:
        ending.exit_code = run_space(space, options, console, engine, at_the_last=ending.leave)
    return ending.exit_code


def run_space(
    space: SearchSpace,
    options: RunOptions,
    console: Console,
    engine: Engine | None = None,
    begins: Callable[[Prepared], bool] = lambda ready: True,
    *,
    all_metrics: bool = False,
    at_the_last: Callable[[], None] = lambda: None,
) -> int:
    """As `run`. `begins` is asked when all is known and nothing is written: with False the command ends as done.

    With `all_metrics` repeats are evaluated again that lack metrics or predictions. `at_the_last`, which takes no lock,
    is called before this process is left because an interrupted sweep takes too long to end.
    """
    data_root = options.data_root.resolve()
    with ExitStack() as stack:
        interruption = stack.enter_context(interruptible(options.how_to_go_on))
        write_log_to = stack.enter_context(collecting(sys.stderr if options.verbose else None))
        path = options.run_path(space)
        interruption.at_the_last = partial(_leave, path, at_the_last)
        engine = engine or TuneEngine(options.address)
        check_data(space, data_root)
        new = options.url is None and not path.exists()
        if not new:  # most runs that cannot begin leave no folder behind
            stack.enter_context(locked(path))
        remote = stack.enter_context(opened(options.url, path)) if options.url else None
        engine.check()
        told = partial(say, console=console)
        with console.status(CHECKING):  # on a terminal alone
            checked = check(space, data_root, options.allow_incomplete, options.allow_overlap, decode=True, say=told)
        if new:
            fetch_weights(space.models, console)
            stack.enter_context(locked(path))
        kept = (remote.weights if remote else TrialFiles(path / WEIGHTS)).names()
        predicted = None
        if all_metrics and space.predictions != "none":
            predicted = (remote.predictions if remote else prediction_files(path)).names()
        given = {"retry_failed": options.retry_failed, "all_metrics": all_metrics}
        ready = prepared(space, checked, path, kept, predicted, **given)
        for warning in ready.warnings:
            log.warning("%s", warning)
            for line in wrapped(warning, console):
                console.print(line, style="yellow", soft_wrap=True)
        if not begins(ready):
            return DONE
        ready.stale.agree(options.yes, asking())
        folder = open_folder(path, ready.space_text)
        write_log_to(folder.path)
        log.info("%s", options.command)
        if remote:
            remote.start()
        sweep = Sweep(ready, folder, options, console, remote)
        if ready.stale.trials:
            sweep.recorder.supersede(ready.stale.trials, [change.told for change in ready.stale.changes])
        sweep.go(engine, data_root, interruption)
        return report(sweep)


def dry_run(
    source: str,
    overrides: Sequence[str],
    options: RunOptions,
    deep: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[str]:
    """What would be run and fetched, line by line, after the checks of `run`. Raises InputError as they do.

    Images are decoded if it is `deep`. `tell` gets a line at once before whatever takes long.
    """
    from flyp_sweep.trainers.models import weights

    space = read_space(source, overrides, options)
    path, data_root = options.run_path(space), options.data_root.resolve()
    TuneEngine(options.address).check()
    checked = check(space, data_root, options.allow_incomplete, options.allow_overlap, decode=deep, say=tell)
    kept = kept_in_store(options.url) if options.url else TrialFiles(path / WEIGHTS).names()
    ready = prepared(space, checked, path, kept, retry_failed=options.retry_failed)
    yield describe(space, ready.plans)
    yield from before_lines(ready, path, options)
    for label, model in checked.models.items():
        known = model.objective or "known when it is loaded, as a hub has its architecture"
        yield f"model {label}: its pretraining is {known}"
    for name, data in checked.data.items():
        yield "\n".join([f"data set {name}:", *(f"  {line}" for line in data.census)])
    usage = disk_usage.estimate(space, ready.plans, in_store=options.url is not None)
    disk_usage.check(usage, path)
    yield str(usage)
    for named in space.models:
        for file in weights.absent(named):
            yield f"a run would first fetch {weights.described(named, file)}"
    yield from ready.warnings
    ready.stale.agree(options.yes, None)


def read_space(source: str, overrides: Sequence[str], options: RunOptions) -> SearchSpace:
    """The search space, after the checks that need nothing but it and the options. Raises InputError."""
    space = load(source, overrides)
    algorithm_of(space)
    check_uri(options.mlflow)
    loggers_of(space)
    return space


def _leave(path: Path, at_the_last: Callable[[], None], words: str) -> None:
    """What is done before this process is left, with these last words, without an end of its own."""
    note_at_last(path, f"ended at once: {words}")
    leave_behind(path)
    at_the_last()


def fetch_weights(models: Iterable[Model], console: Console) -> None:
    """Download what the local cache lacks, before there are workers. Raises InputError when that cannot be done."""
    from flyp_sweep.trainers.models import weights  # seconds of torch

    for model in models:
        weights.fetch(model, lambda line: console.print(line, soft_wrap=True))


def prediction_files(run: Path) -> TrialFiles:
    """The predictions in the run folder `run`, there or not."""
    return TrialFiles(run / PREDICTIONS, PREDICTION_SUFFIX)


def still_used(space: SearchSpace, protocol: Protocol) -> list[Model]:
    """The models of the cells that are not over."""
    labels = {cell.plan.cell.model for cell in protocol.cells if not cell.over}
    return [model for model in space.models if model.label in labels]


@dataclass
class Sweep:
    """One execution of a sweep in a run folder, whose lock is held."""

    ready: Prepared
    folder: RunFolder
    options: RunOptions
    console: Console
    remote: RemoteRun | None = None

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        remote, options, folder = self.remote, self.options, self.folder
        self.space, self.plans, self.protocol = self.ready.space, self.ready.plans, self.ready.protocol
        self.running = remote.running if remote else TrialFiles(folder.running)
        self.running.clear({name for name, outcome in self.protocol.outcomes.items() if outcome.status != FAILED})
        self.weights = remote.weights if remote else TrialFiles(folder.weights)
        self.predictions = remote.predictions if remote else prediction_files(folder.path)
        self.under_way = UnderWay(self.protocol, folder.running, partial(lost, folder.path))
        self.under_way.learn(self.ready.earlier.trials)
        self.progress = Progress(self.protocol, self.console, self.under_way)
        if not self.protocol.done:
            self._check_disk()
        cells = {cell.plan.cell for cell in self.protocol.cells}
        self.elsewhere = {one.outcome.trial_id for one in self.ready.earlier.trials if one.cell not in cells}
        """Trials of cells that the search space no longer has: their models and predictions stay."""
        planned = {trial.trial_id for cell in self.protocol.cells for trial in cell.trials}
        self.weights.clear((planned & self.protocol.outcomes.keys()) - self.protocol.kept)  # others go at the end
        self.mirror = Mirror(options.mlflow or default_uri(folder.path), self.space.name, folder)
        logged = LoggedSweep(folder.name, folder.path.resolve(), folder.identity, self.space)
        self.loggers = [LoggerThread(logger, logged) for logger in loggers_of(self.space)]
        listeners: list[Listener] = [self.progress, self.mirror, *self.loggers]
        self.recorder = Recorder(
            folder.ledger,
            self.protocol,
            self.running,
            self.weights,
            listeners,
            self.lost,
            under_way=self.under_way,
        )

    def lost(self) -> str | None:
        """A line that names the driver that took this run over; None while this one has it."""
        return lost(self.folder.path) or (self.remote.lost if self.remote else None)

    def go(self, engine: Engine, data_root: Path, interruption: Interruption) -> None:
        """Run all that is left."""
        self.recorder.write_selections(self.protocol.selections, self.ready.earlier.selections)
        self.console.print(
            f"{self.space.name}: {counted(len(self.protocol.cells), 'cell')}, "
            f"{counted(self.progress.planned, 'trial')} planned, {sum(self.progress.done.values()):,} done, in "
            f"{f'{self.remote.url} by way of ' if self.remote else ''}{self.folder.path}"
        )
        if not self.protocol.done:
            steps = steps_line(self.plans)
            for line in (*([steps] if steps else []), *before_lines(self.ready, self.folder.path, self.options)):
                for part in wrapped(line, self.console):
                    self.say(part)
            self._run_trials(engine, data_root, interruption)
        if self.protocol.done and self.protocol.complete:
            outcomes = self.protocol.outcomes
            self.running.clear(keep={name for name, outcome in outcomes.items() if outcome.status == FAILED})
            self.weights.clear(keep=self.protocol.kept | self.elsewhere)
            self.predictions.clear(keep=self.protocol.repeats | self.elsewhere)

    def _check_disk(self) -> None:
        over = {cell.plan.cell for cell in self.protocol.cells if cell.over}
        usage = disk_usage.estimate(self.space, self.plans, over, in_store=self.remote is not None)
        for line in wrapped(str(usage), self.console):
            self.say(line)
        disk_usage.check(usage, self.folder.path)

    def _run_trials(self, engine: Engine, data_root: Path, interruption: Interruption) -> None:
        fetch_weights(still_used(self.space, self.protocol), self.console)
        work = Work(
            space=self.space,
            plans=self.plans,
            protocol=self.protocol,
            recorder=self.recorder,
            data_root=data_root,
            folder=self.folder.path,
            store=self.remote.url if self.remote else None,
            checkpoints=self.running.policy(self.space.checkpoints),
            weights=self.weights.policy(Checkpoints()),
            predictions=self.predictions.prediction_files(self.space.predictions),
            stop=lambda: interruption.asked or self.recorder.broken or self.lost() is not None,
            say=self.say,
            warn=partial(self.say, style="yellow"),
            give_up=interruption.give_up,
            listen=interruption.listen,
        )
        with closing(self.under_way), self.progress, interruption.noting(self._interrupted):
            try:
                engine.run(work)
            except InputError as error:  # told by `report`, with the tables of what was done until then
                self.recorder.trouble.append(str(error))

    def _interrupted(self) -> None:
        """Say at once that the request to end was heard: trials need some seconds to be saved."""
        running = counted(len(self.under_way.running), "running trial")
        self.say(f"interrupted: saving {running}, for {GRACE_SECONDS:g} s at most; a second Ctrl-C ends at once")

    @property
    def exit_code(self) -> int:
        if self.recorder.trouble:
            return BAD_INPUT
        if not self.protocol.done:
            return INTERRUPTED
        return SOME_FAILED if self.protocol.failed or not self.protocol.complete else DONE

    def say(self, line: str, style: str | None = None) -> None:
        """Print and log a line as it is."""
        say(line, self.console, style)


def open_folder(path: Path, space: str) -> RunFolder:
    """The run folder at `path`, made if need be, with this `space` (YAML text) in it.

    Raises InputError if it cannot be written.
    """
    try:
        folder = RunFolder.create(path, space) if is_unused(path) else RunFolder(path)
        folder.write_space(space)
        folder.write_identity()
        folder.ledger.check_writable()
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: cannot be written ({error.strerror}); mend that or choose another --out"
        ) from error
    return folder
