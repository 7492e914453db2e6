"""`flyp-sweep run`: the whole protocol of a search space."""

from __future__ import annotations

import shlex
import sys
from itertools import chain
from typing import Any

import click

from flyp_sweep.orchestrator.cli.completion import complete_space
from flyp_sweep.orchestrator.cli.options import console, console_on, sweep_options
from flyp_sweep.orchestrator.cli.run_address import RunAddress


@click.command()
@click.argument("space", shell_complete=complete_space)
@click.option(
    "--out", type=RunAddress(), help="Run folder, or its URL in a store.  [default: runs/<name of the space>]"
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. train.epochs=3.")
@sweep_options
@click.option("--dry-run", is_flag=True, help="Check everything, say what would run, start nothing.")
@click.option("--deep", is_flag=True, help="With --dry-run: decode all images too, as a run does before it starts.")
def run(space: str, overrides: tuple[str, ...], dry_run: bool, deep: bool, **options: Any) -> None:
    """Run the protocol of SPACE: search, select, repeat, WiSE-FT, tables and figures.

    SPACE is a YAML file or the name of a bundled search space. Run again to resume: trials in the run folder's ledger
    are not repeated.
    """
    from flyp_sweep.orchestrator.runs import sweep
    from flyp_sweep.orchestrator.runs.options import RunOptions

    given = RunOptions(**options, command=shlex.join(["flyp-sweep", *sys.argv[1:]]))
    if not dry_run:
        sys.exit(sweep.run(space, overrides, given, console()))  # whether or not anybody reads what it prints
    lines = sweep.dry_run(space, overrides, given, deep, lambda line: click.echo(line, err=True))
    with console_on(sys.stderr).status(sweep.CHECKING):  # on a terminal alone
        first = next(lines)
    for line in chain([first], lines):
        click.echo(line)
