"""An engine for tests: runs a sweep's trials one after the other in this process, without Ray's servers.

Protocol, recorder, retry rule, worker and training are the product's own; Ray Tune alone is simulated.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ray.tune.search import Searcher
from rich.console import Console

from flyp_sweep.orchestrator.engine.retries import Retries
from flyp_sweep.orchestrator.engine.searcher import ProtocolSearcher
from flyp_sweep.orchestrator.engine.settings import Settings
from flyp_sweep.orchestrator.engine.trainable import configured
from flyp_sweep.orchestrator.engine.work import Work
from flyp_sweep.orchestrator.runs import sweep
from flyp_sweep.orchestrator.runs.evaluate import evaluate
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Resources


class SerialEngine:
    """See `orchestrator.engine.work.Engine`. After `stop_after` trials, if given, it stops as if interrupted."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after

    def check(self) -> None:
        """There is nothing that could not be reached."""

    def run(self, work: Work) -> None:
        if self.stop_after is not None:
            enough = len(work.protocol.outcomes) + self.stop_after
            stop = work.stop
            work = replace(work, stop=lambda: stop() or len(work.protocol.outcomes) >= enough)
        resources = work.space.resources or Resources(cpu=1)
        settings = Settings(work.space, work.data_root, work.checkpoints, work.weights, work.predictions, resources)
        with numerics_restored():
            tune(ProtocolSearcher(work.protocol, work.recorder, Retries(work.space.failures), None), settings, work)


def tune(searcher: ProtocolSearcher, settings: Settings, work: Work) -> None:
    """What Ray Tune does with one worker."""
    worker: Any = None
    number = 0
    while not work.stop():
        number += 1
        config = searcher.suggest(str(number))
        if config == Searcher.FINISHED:
            break
        if config is None:
            time.sleep(0.01)
            continue
        if worker is None:
            worker = configured(settings)(config)
        else:
            worker.reset_config(config)
        work.recorder.started(searcher.specs[str(number)])
        if not run_trial(searcher, worker, str(number), work):
            worker = None
    if worker is not None:
        worker.cleanup()


def run_trial(searcher: ProtocolSearcher, worker: Any, name: str, work: Work) -> bool:
    """Run a trial to its end, or until the sweep is to stop; False when its worker cannot go on."""
    while not work.stop():
        reply = worker.step()
        if reply.get("done"):
            searcher.on_trial_complete(name, reply)
            return True
        searcher.on_trial_result(name, {"time_total_s": 0.0, **reply})
        if "epoch" in reply:
            work.recorder.progressed(searcher.specs[name], reply, None)
        if "ending" in reply:
            searcher.on_trial_complete(name, error=True)
            return False
    searcher.on_trial_complete(name)
    return True


@contextlib.contextmanager
def numerics_restored() -> Generator[None]:
    """Workers set torch's threads and determinism for their whole process."""
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact)


def run_serially(
    space: Path | str,
    *overrides: str,
    cwd: Path,
    stop_after: int | None = None,
    engine: SerialEngine | None = None,
    **options: Any,
) -> tuple[int, str]:
    """Exit code and output of `flyp-sweep run SPACE --set ...` in `cwd`; `options` are those of `RunOptions`."""
    driver = engine or SerialEngine(stop_after)
    return _told(cwd, lambda console: sweep.run(str(space), overrides, RunOptions(**options), console, driver))


def evaluate_serially(run: Path, *on: str, cwd: Path, stop_after: int | None = None, **options: Any) -> tuple[int, str]:
    """Exit code and output of `flyp-sweep evaluate RUN --on DATA ...` in `cwd`."""
    given = RunOptions(out=run, **options)
    return _told(cwd, lambda console: evaluate(RunFolder(run), on, given, console, SerialEngine(stop_after)))


def _told(cwd: Path, command: Callable[[Console], int]) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.chdir(cwd):
        try:
            code = command(Console(file=printed, width=120, highlight=False, markup=False, emoji=False))
        except InputError as error:
            return 2, f"{printed.getvalue()}error: {error}\n"
    return code, printed.getvalue()
