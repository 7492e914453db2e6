"""`flyp-sweep evaluate`: the models of a finished run on data sets that came later."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from flyp_sweep.orchestrator.cli.options import console, run_argument, sweep_options
from flyp_sweep.orchestrator.cli.run_address import open_run


@click.command()
@run_argument
@click.option(
    "--on",
    "on",
    multiple=True,
    metavar="DATA",
    help="A data set's name, a YAML file that describes data sets, or a search space.",
)
@sweep_options
def evaluate(run: Path | str, on: tuple[str, ...], **options: Any) -> None:
    """Evaluate the repeats of RUN on data sets of the same classes, without training where their weights are kept.

    The ID test and OOD splits of DATA become OOD columns of the run's tables. What is trained again, because its
    weights are not kept, is said before it starts.
    """
    from flyp_sweep.orchestrator.runs.evaluate import evaluate
    from flyp_sweep.orchestrator.runs.options import RunOptions

    given = RunOptions(out=run, **options, command=shlex.join(["flyp-sweep", *sys.argv[1:]]))
    sys.exit(evaluate(open_run(run), on, given, console()))
