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
    help="The name of a data set, a YAML file that describes data sets, or a search space; several are allowed.",
)
@sweep_options
def evaluate(run: Path | str, on: tuple[str, ...], **options: Any) -> None:
    """Evaluate the repeats of RUN on later data sets of the same classes.

    The ID test and OOD splits of DATA become OOD columns of the run's tables. Repeats without kept weights are trained
    again: the command first says how many, and asks if that is much. Without --on the command only adds what is
    missing: metrics that an earlier version did not compute, and predictions whose files are gone.
    """
    from flyp_sweep.orchestrator.runs.evaluate import evaluate
    from flyp_sweep.orchestrator.runs.options import RunOptions

    given = RunOptions(out=run, **options, command=shlex.join(["flyp-sweep", *sys.argv[1:]]))
    sys.exit(evaluate(open_run(run), on, given, console()))
