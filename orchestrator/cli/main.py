"""The command line: all commands together, and how each ends. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import gc
import sys
import warnings
from typing import Any

import click

from flyp_sweep import __version__
from flyp_sweep.orchestrator.cli.cache import cache
from flyp_sweep.orchestrator.cli.catalogue import list_
from flyp_sweep.orchestrator.cli.data import data
from flyp_sweep.orchestrator.cli.mlflow import sync, ui
from flyp_sweep.orchestrator.cli.run import run
from flyp_sweep.orchestrator.cli.status import status
from flyp_sweep.orchestrator.cli.tables import plot, report, show, table
from flyp_sweep.orchestrator.exit_codes import BAD_INPUT, INTERRUPTED
from flyp_sweep.search_spaces.errors import InputError

COMMANDS: tuple[click.Command, ...] = (run, status, table, show, plot, report, ui, sync, list_, data, cache)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Experiment sweeps for robust fine-tuning of CLIP-like models."""


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """The console script: bad input is one line and exit code 2, Ctrl-C exit code 130."""
    warnings.showwarning = _show_warning
    gc.set_threshold(50_000)  # Python's 700 means many collections over the 100,000 trials of a large run
    try:
        cli.main(prog_name="flyp-sweep", standalone_mode=False)
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        click.echo(f"error: {' '.join(error.format_message().split())}{_help_of(error)}", err=True)
        sys.exit(BAD_INPUT)


def _help_of(error: click.ClickException) -> str:
    """Where to read what was expected, of an error that knows its command."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" `{context.command_path} --help` tells what there is." if context else ""


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning is a line for the user, who has no use for the place in our code."""
    click.echo(f"warning: {message}", err=True)


if __name__ == "__main__":
    main()
