"""The command line: all commands together, and how each ends. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import sys
from collections.abc import Generator

import click

from flyp_sweep import __version__
from flyp_sweep.orchestrator.cli.cache import cache
from flyp_sweep.orchestrator.cli.catalogue import list_
from flyp_sweep.orchestrator.cli.data import data
from flyp_sweep.orchestrator.cli.evaluate import evaluate
from flyp_sweep.orchestrator.cli.mlflow import sync_, ui
from flyp_sweep.orchestrator.cli.models import export, predict
from flyp_sweep.orchestrator.cli.run import run
from flyp_sweep.orchestrator.cli.spaces import init, schema, show_space
from flyp_sweep.orchestrator.cli.status import status
from flyp_sweep.orchestrator.cli.streams import failure, standard_streams
from flyp_sweep.orchestrator.cli.tables import plot, report, show, table
from flyp_sweep.orchestrator.exit_codes import BAD_INPUT, INTERRUPTED
from flyp_sweep.search_spaces.errors import InputError

COMMANDS: tuple[click.Command, ...] = (
    *(init, list_, show_space, schema, data),
    *(run, status, table, show, plot, report, evaluate, export, predict, ui, sync_, cache),
)
"""In the order of `--help`: before a run, and from the run on."""


class InOrder(click.Group):
    """A group of commands that `--help` lists in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Experiment sweeps for robust fine-tuning of CLIP-like models."""


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """The console script: bad input is one line and exit code 2, Ctrl-C exit code 130."""
    gc.set_threshold(50_000)  # Python's 700 means many collections over the 100,000 trials of a large run
    os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook's variable names a canvas that may be absent here
    with standard_streams():
        _run()


def _run() -> None:
    try:
        with warnings_as_lines():
            cli.main(prog_name="flyp-sweep", standalone_mode=False)
            error = failure(sys.stdout)
            if error and not isinstance(error, BrokenPipeError):  # as of `| head`, whose reader has what was wanted
                raise InputError(f"stdout: cannot be written ({error.strerror}); the output is not whole")
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


@contextlib.contextmanager
def warnings_as_lines() -> Generator[None]:
    """Inside the block Python's warnings go to the log, and to stderr as a line each."""
    shown = logging.StreamHandler()
    shown.setFormatter(WarningLine())
    logger = logging.getLogger("py.warnings")
    logger.addHandler(shown)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logger.removeHandler(shown)


class WarningLine(logging.Formatter):
    """Shows a Python warning as a line for the user, who has no use for the place in our code."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a warning that `logging` has captured: `FILE:LINE: CATEGORY: TEXT`, then a line of code."""
        return f"warning: {re.sub(r'^.*?:[0-9]+: [A-Za-z]+: ', '', record.getMessage().splitlines()[0])}"


if __name__ == "__main__":
    main()
