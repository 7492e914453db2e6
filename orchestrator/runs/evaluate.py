"""`flyp-sweep evaluate`: the models of a finished run on data sets that came later."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console

from flyp_sweep.orchestrator.engine.work import Engine
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.prepared import Prepared
from flyp_sweep.orchestrator.runs.sweep import run_space
from flyp_sweep.orchestrator.tracking.uris import check_uri
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.evaluated import Evaluated, evaluating, read_evaluated
from flyp_sweep.search_spaces.loading import SUFFIXES, bundled, load
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.spec import DONE, REPEAT


def evaluate(
    run: RunFolder, on: Sequence[str], options: RunOptions, console: Console, engine: Engine | None = None
) -> int:
    """Evaluate the repeats of a finished `run` on the data sets `on` too; returns the exit code.

    The search space of the run then names these data sets, and its ledger holds a second line for each repeat. Repeats
    whose lines lack metrics, as an earlier version left them, are evaluated again too. Raises InputError for a run that
    is not finished, and for data sets that are unknown or do not fit.
    """
    check_uri(options.mlflow)
    space = load(run.space)
    wanted = evaluating(space, [one for given in on for one in data_sets(given)], f"{run.label}/{run.space.name}")

    def begins(ready: Prepared) -> bool:
        check_finished(ready, run)
        if ready.protocol.done:
            console.print(f"{run.label}: nothing to do, all repeats are evaluated on these data", soft_wrap=True)
        return not ready.protocol.done

    return run_space(wanted, options, console, engine, begins, all_metrics=True)


def data_sets(given: str) -> tuple[Evaluated, ...]:
    """What one `--on` names: a data set, or those in a YAML file. Raises InputError for anything else."""
    if given in datasets.registry():
        return (given,)
    if given in bundled() or given.endswith(SUFFIXES) or os.path.exists(given):
        return read_evaluated(given)
    known = [*datasets.registry(), *bundled()]
    raise InputError(
        f"--on: found {given!r}; expected a data set (flyp-sweep list datasets), a YAML file that describes some, "
        f"or a search space{nearest(given, known)}"
    )


def check_finished(ready: Prepared, run: RunFolder) -> None:
    """Raise InputError for a run without repeats, and for one with trials that have not run yet."""
    if not any(one.stage == REPEAT and one.outcome.status == DONE for one in ready.earlier.trials):
        raise InputError(f"{run.label}: found no finished repeat; expected some to evaluate; finish the run first")
    protocol = Protocol(ready.plans, [one.outcome for one in ready.earlier.trials])
    if not protocol.complete:
        waiting = counted(sum(len(cell.open) for cell in protocol.cells), "trial")
        raise InputError(
            f"{run.label}: found {waiting} that would have to be trained first; expected a finished run; finish it "
            f"with `flyp-sweep run SPACE --out {run.label}`"
        )
