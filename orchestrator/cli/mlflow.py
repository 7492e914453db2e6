"""`flyp-sweep ui` and `sync`: the MLflow view of runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flyp_sweep.orchestrator.cli.options import data_root_option, mlflow_option, run_argument
from flyp_sweep.orchestrator.cli.run_address import UserPath


@click.command()
@click.argument("run", required=False, type=UserPath())
@click.option("--port", type=int, default=5000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def ui(run: Path | None, port: int, host: str) -> None:
    """Browse the trials of RUN, or of all runs in ./runs, in the MLflow UI."""
    from flyp_sweep.orchestrator.tracking.ui import serve

    sys.exit(serve(run, host, port))


@click.command("sync")
@run_argument
@mlflow_option
@data_root_option
def sync_(run: Path | str, mlflow: str | None, data_root: Path) -> None:
    """Rebuild the MLflow view of RUN from its ledger. Entries that differ are replaced.

    With `mlflow: {register: true}` in the search space, this registers models too.
    """
    from flyp_sweep.orchestrator.runs.sync import sync

    click.echo(sync(run, mlflow, data_root, click.echo))
