"""`flyp-sweep status`: the progress of a run."""

from __future__ import annotations

from pathlib import Path

import click

from flyp_sweep.orchestrator.cli.console import console
from flyp_sweep.orchestrator.cli.options import run_argument
from flyp_sweep.orchestrator.cli.run_address import open_run


@click.command()
@run_argument
def status(run: Path | str) -> None:
    """Cells, stages, trials done and failed, best score so far."""
    from flyp_sweep.results.run_status import status_table

    console().print(status_table(open_run(run)))
