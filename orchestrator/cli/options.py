"""What several commands share: options, arguments, and the terminal that they print to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from flyp_sweep.orchestrator.cli.run_address import RunAddress, UserPath
from flyp_sweep.results.tables.layouts import AUTO, layout_names
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

Callback = Callable[..., Any]

data_root_option = click.option(
    "--data-root",
    type=UserPath(),
    default=Path("data"),
    envvar="FLYP_SWEEP_DATA",
    show_default=True,
    show_envvar=True,
    help="Folder that data sets lie in.",
)


def _no_password(context: click.Context, option: click.Parameter, uri: str | None) -> str | None:
    """Raise InputError for a password on the command line, which every user of the machine and Ray's logs can read."""
    from flyp_sweep.orchestrator.tracking.credentials import has_credentials, redacted

    source = context.get_parameter_source(option.name or "")
    if uri and source == click.core.ParameterSource.COMMANDLINE and has_credentials(uri):
        raise InputError(f"--mlflow: found a password in {redacted(uri)}; put the URI into MLFLOW_TRACKING_URI instead")
    return uri


mlflow_option = click.option(
    "--mlflow",
    metavar="URI",
    envvar="MLFLOW_TRACKING_URI",
    show_envvar=True,
    callback=_no_password,
    help="MLflow tracking URI.  [default: mlflow.db beside the run folder]",
)


_SWEEP_OPTIONS = (
    data_root_option,
    mlflow_option,
    click.option("--address", metavar="RAY", help="Address of a Ray cluster.  [default: this machine alone]"),
    click.option("--allow-incomplete", is_flag=True, help="Go on with data sets that lack images, or hold too many."),
    click.option("--allow-overlap", is_flag=True, help="Go on with splits of your own data that share images."),
    click.option("--yes", "-y", is_flag=True, help="Train finished trials again that a change made out of date."),
    click.option("--retry-failed", is_flag=True, help="Run failed trials again."),
    click.option("--verbose", is_flag=True, help="Show the lines of the run's log.txt as they are written."),
)


def sweep_options(command: Callback) -> Callback:
    """The options of every command that runs trials."""
    for option in reversed(_SWEEP_OPTIONS):
        command = option(command)
    return command


def choice(name: str, values: Sequence[str], told: str) -> Callable[[Callback], Callback]:
    """An option that is one of `values`, by default the first, with `told` as its help."""
    return click.option(name, type=click.Choice(values), default=values[0], show_default=True, help=told)


layout_option = choice(
    "--layout",
    [AUTO, *layout_names()],
    "Tables 1, 2 and 3 of the paper; every OOD set a column; differences to FLYP; or what is natural.",
)
run_argument = click.argument("run", type=RunAddress())
runs_argument = click.argument("runs", nargs=-1, required=True, type=RunAddress())


def console() -> Console:
    """Where progress and tables go; a line is as wide as the terminal, or 120 where there is none."""
    return console_on(sys.stdout, width=None if sys.stdout.isatty() else 120)


def console_on(stream: TextIO, width: int | None = None) -> Console:
    """A console on a standard stream, in which brackets and colons in names stay as they are.

    Rich takes a pipe for a terminal where FORCE_COLOR is set, as in notebooks, and would redraw the board into it.
    """
    from rich.console import Console

    is_terminal = stream.isatty()
    return Console(file=stream, width=width, force_terminal=is_terminal, highlight=False, markup=False, emoji=False)
