"""The command line. Nothing heavy is imported before a command needs it: `--help` answers at once."""

from __future__ import annotations

import gc
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyp_sweep import __version__
from flyp_sweep.orchestrator.cli.cache import cache
from flyp_sweep.orchestrator.cli.data import data
from flyp_sweep.orchestrator.cli.run_address import RunAddress
from flyp_sweep.orchestrator.exit_codes import BAD_INPUT, INTERRUPTED
from flyp_sweep.results.tables.formats import format_names
from flyp_sweep.results.tables.layouts import AUTO, layout_names
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from flyp_sweep.results.tables.table import Table

data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
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
layout_option = click.option(
    "--layout",
    type=click.Choice([AUTO, *layout_names()]),
    default=AUTO,
    show_default=True,
    help="Tables 1, 2 and 3 of the paper; every OOD set a column; differences to FLYP; or what is natural.",
)
_OF_RUNS = {
    "against": "--against",
    "interval": "--interval",
    "test": "--test",
    "ensembling": "--ensembling",
    "aggregate": "--aggregate",
    "trace": "--trace",
}
"""Options of `table` that say nothing of the paper's own numbers."""

run_argument = click.argument("run", type=RunAddress())
runs_argument = click.argument("runs", nargs=-1, required=True, type=RunAddress())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Experiment sweeps for robust fine-tuning of CLIP-like models."""


cli.add_command(data)
cli.add_command(cache)


@cli.command()
@click.argument("space")
@click.option(
    "--out", type=RunAddress(), help="Run folder, or its URL in a store.  [default: runs/<name of the space>]"
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. train.epochs=3.")
@data_root_option
@mlflow_option
@click.option("--address", metavar="RAY", help="Address of a Ray cluster.  [default: this machine alone]")
@click.option("--allow-incomplete", is_flag=True, help="Go on with data sets that lack images, or hold too many.")
@click.option("--retry-failed", is_flag=True, help="Run the trials again that have failed.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would run, start nothing.")
@click.option("--verbose", is_flag=True, help="Show the lines of the run's log.txt as they are written.")
def run(
    space: str,
    out: Path | str | None,
    overrides: tuple[str, ...],
    data_root: Path,
    mlflow: str | None,
    address: str | None,
    allow_incomplete: bool,
    retry_failed: bool,
    dry_run: bool,
    verbose: bool,
) -> None:
    """Run the protocol of SPACE: search, select, repeat, WiSE-FT, tables and figures.

    SPACE is a YAML file or the name of a bundled search space. Run again to resume: only what the run folder's ledger
    lacks is run.
    """
    from flyp_sweep.orchestrator.runs import sweep

    options = sweep.Options(
        out=out,
        data_root=data_root,
        mlflow=mlflow,
        address=address,
        allow_incomplete=allow_incomplete,
        retry_failed=retry_failed,
        verbose=verbose,
    )
    if dry_run:
        for line in sweep.dry_run(space, overrides, options):
            click.echo(line)
        return
    sys.exit(sweep.run(space, overrides, options, console()))


@cli.command()
@run_argument
def status(run: Path | str) -> None:
    """Cells, stages, trials done and failed, best score so far."""
    from flyp_sweep.orchestrator.cli.run_address import open_run
    from flyp_sweep.orchestrator.runs.status import status_table

    console().print(status_table(open_run(run)))


@cli.command()
@click.argument("runs", nargs=-1, type=RunAddress())
@layout_option
@click.option("--format", "style", type=click.Choice(format_names()), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.option(
    "--interval",
    type=click.Choice(["t", "bca", "normal"]),
    default="t",
    show_default=True,
    help="95% interval over seeds: Student-t, BCa bootstrap or normal.",
)
@click.option(
    "--test",
    type=click.Choice(["t", "wilcoxon"]),
    default="t",
    show_default=True,
    help="Paired test behind the marks. Wilcoxon's can tell nothing apart with 5 seeds.",
)
@click.option(
    "--ensembling",
    type=click.Choice(["without", "with", "both"]),
    help="Which numbers: without ensembling, with it, or both.  [default: as in the paper's table of the layout]",
)
@click.option("--aggregate/--no-aggregate", default=True, help="Mean and IQM over columns (few_shot, transfer).")
@click.option("--against", type=click.Choice(["published"]), help="Put the paper's numbers beside ours.")
@click.option("--published", is_flag=True, help="Print the paper's own table of --layout; takes no RUNS.")
@click.option("--trace", is_flag=True, help="List the ids of the trials behind every cell.")
@click.option("--standalone", is_flag=True, help="LaTeX: a document that compiles alone.")
@click.option(
    "--text-width",
    type=click.FloatRange(min=100),
    default=345.0,
    show_default=True,
    help=r"LaTeX: \textwidth in points, at 10 pt.",
)
def table(
    runs: tuple[Path | str, ...],
    layout: str,
    style: str,
    output: Path | None,
    against: str | None,
    published: bool,
    standalone: bool,
    text_width: float,
    **options: Any,
) -> None:
    """Tables of one or several RUNS together."""
    from flyp_sweep.orchestrator.cli.run_address import open_run
    from flyp_sweep.orchestrator.runs.artifacts import read_runs, refuse_unfinished
    from flyp_sweep.results import TableOptions, against_published, make_table, reprint
    from flyp_sweep.results.files import write
    from flyp_sweep.results.tables.formats.text import renderable

    if published == bool(runs):
        found = "both" if runs else "neither"
        raise InputError(f"table: found {found} of RUNS and --published, expected one; name runs, or give --published")
    if published:
        _refuse_given(_OF_RUNS)
        made = reprint("distribution_shift" if layout == "auto" else layout)
    else:
        build = against_published if against else make_table
        evidence = read_runs([open_run(run) for run in runs])
        refuse_unfinished(evidence)
        made = build(evidence, layout, TableOptions(**options))
    if output is None and style == "text" and sys.stdout.isatty():
        console().print(renderable(made))
    elif output is None:
        click.echo(_printed(made, style, standalone, text_width), nl=False)
    else:
        write(output, _printed(made, style, standalone, text_width))


def _refuse_given(options: dict[str, str]) -> None:
    """Raises InputError for the first of `options` (by parameter) that stands on the command line."""
    context = click.get_current_context()
    for name, flag in options.items():
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise InputError(f"{flag}: found --published, expected RUNS; leave one of them out")


def _printed(made: Table, style: str, standalone: bool, text_width: float) -> str:
    """A table in a format; `standalone` and `text_width` are LaTeX's."""
    from flyp_sweep.results import render
    from flyp_sweep.results.tables.formats.latex import latex
    from flyp_sweep.results.tables.formats.latex import standalone as document

    if style != "latex":
        if standalone:
            raise InputError(f"--standalone: found --format {style}, expected latex; leave one of them out")
        return render(made, style)
    body = latex(made, text_width)
    return document(body, text_width) if standalone else body


@cli.command()
@click.argument("trial_id")
@click.option("--run", "runs", multiple=True, type=RunAddress(), help="Run folder or URL.  [default: all in ./runs]")
def show(trial_id: str, runs: tuple[Path | str, ...]) -> None:
    """All about one trial; the start of its id is enough where no other begins alike."""
    from flyp_sweep.orchestrator.cli.run_address import open_run
    from flyp_sweep.orchestrator.runs.artifacts import run_folders
    from flyp_sweep.results.report.trial_view import find_trial, trial_view

    folders = [open_run(run) for run in runs] or run_folders()
    console().print(trial_view(find_trial(trial_id, folders)))


@cli.command()
@runs_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A .png or .pdf file for one figure, else a folder, with one per run.  [default: each run's figures/]",
)
@click.option(
    "--figure",
    type=click.Choice(["frontier", "shots", "sensitivity"]),
    help="Which figures.  [default: all; into a file the frontier]",
)
def plot(runs: tuple[Path | str, ...], output: Path | None, figure: str | None) -> None:
    """Figures of one or several RUNS, as PNG and PDF: ID-OOD frontiers, accuracy by shots, scores of the search."""
    from flyp_sweep.orchestrator.cli.run_address import open_run, refuse_without_file
    from flyp_sweep.orchestrator.runs.artifacts import plot_runs

    for run in runs:
        refuse_without_file("plot", run, output)
    for plotted in plot_runs([open_run(run) for run in runs], output, figure):
        for written in plotted.paths:
            click.echo(written)
        for line in plotted.warnings:
            click.echo(f"warning: {line}", err=True)


@cli.command()
@runs_argument
@layout_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write to this file.  [default: report.html in the run folder]",
)
def report(runs: tuple[Path | str, ...], layout: str, output: Path | None) -> None:
    """One self-contained HTML page of RUNS: tables, figures, protocol, and the trials behind every number."""
    from flyp_sweep.orchestrator.cli.run_address import open_run, refuse_without_file
    from flyp_sweep.orchestrator.runs.artifacts import write_report

    for run in runs:
        refuse_without_file("report", run, output)
    folders = [open_run(run) for run in runs]
    if output is None and len(folders) > 1:
        raise InputError(
            f"report: found {len(folders)} RUNS and no file, expected -o FILE; a page of several is in none"
        )
    path = output or folders[0].report
    for line in write_report(folders, layout, path):
        click.echo(f"warning: {line}", err=True)
    click.echo(path)


@cli.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--port", type=int, default=5000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def ui(run: Path | None, port: int, host: str) -> None:
    """Browse the trials of RUN, or of all runs in ./runs, in the MLflow UI."""
    from flyp_sweep.orchestrator.tracking.browse import serve

    sys.exit(serve(run, host, port))


@cli.command()
@run_argument
@mlflow_option
def sync(run: Path | str, mlflow: str | None) -> None:
    """Rebuild the MLflow view of RUN from its ledger; what is there already stays."""
    from flyp_sweep.orchestrator.tracking.browse import sync_run, sync_url
    from flyp_sweep.results.ledger.run_folder import RunFolder

    click.echo(sync_url(run, mlflow) if isinstance(run, str) else sync_run(RunFolder(run), mlflow))


@cli.command("list")
@click.argument("what", type=click.Choice(["methods", "datasets", "spaces", "ensembles"]))
def list_(what: str) -> None:
    """What there is, a line each; what other packages bring says which."""
    summaries, origins = _catalogue(what)
    for name, summary in summaries.items():
        click.echo(f"{name:<20} {summary}{f' ({origins[name]})' if name in origins else ''}")


def _catalogue(what: str) -> tuple[dict[str, str], dict[str, str]]:
    """Name -> summary, and name -> package for those of other packages."""
    if what == "spaces":
        from flyp_sweep.search_spaces.loading import bundled

        return bundled(), {}
    if what == "ensembles":
        from flyp_sweep.search_spaces.ensembles import ENSEMBLES

        return ENSEMBLES, {}
    from flyp_sweep.trainers import plugins

    if what == "datasets":
        from flyp_sweep.trainers import datasets

        return {name: found.summary for name, found in datasets.registry().items()}, plugins.origins(plugins.DATASETS)
    from flyp_sweep.trainers import methods

    return {name: method.summary for name, method in methods.registry().items()}, plugins.origins(plugins.METHODS)


def console(**options: Any) -> Console:
    """Where progress and tables go; a line is as wide as the terminal, or 120 where there is none."""
    from rich.console import Console

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False, **options)


def main() -> None:
    """The console script: bad input is one line and exit code 2, Ctrl-C exit code 130."""
    warnings.showwarning = _show_warning
    gc.set_threshold(50_000)  # with Python's 700 it goes through 100,000 trials time and again, looking for cycles
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
