"""`flyp-sweep table`, `show`, `plot` and `report`: what runs have found so far, to read."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyp_sweep.orchestrator.cli.options import choice, console, layout_option, runs_argument
from flyp_sweep.orchestrator.cli.run_address import RunAddress, UserPath, open_run, refuse_without_file
from flyp_sweep.results.metrics import CORRUPTION_ERROR, GROUP_ACCURACY, METRICS
from flyp_sweep.results.tables.formats import format_names
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from flyp_sweep.results.ledger.run_folder import RunFolder
    from flyp_sweep.results.tables.table import Table

_OF_RUNS = (
    *("against", "metric", "interval", "test", "marks", "correction", "ensembling", "aggregate", "trace"),
    *("columns", "methods", "sort", "control", "caption", "decimals", "label"),
)
"""Options of `table` that do not apply to the paper's own numbers."""


class Names(click.ParamType[tuple[str, ...]]):
    """Names between commas; quotes hold a name together that has a comma of its own."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(
            name.strip() for row in csv.reader([value], skipinitialspace=True) for name in row if name.strip()
        )
        for name in names:
            if names.count(name) > 1:
                self.fail(f"found {name!r} twice, expected every name once.", param, ctx)
        return names


class Labelled(click.ParamType[tuple[str, str]]):
    """`NAME=TEXT`; a name with an equals sign can only be written in a search space."""

    name = "name=text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = (part.strip() for part in value.partition("="))
        if not (name and equals and text and text.isprintable()):
            self.fail(f"found {value!r}, expected NAME=TEXT, as in flyp=Ours.", param, ctx)
        return name, text


class MetricName(click.Choice[str]):
    """A metric of all runs, or that of a group or of a corruption, whose name only its run knows."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, _, part = value.partition("/") if isinstance(value, str) else ("", "", "")
        is_part = part and f"{kind}/" in (GROUP_ACCURACY, CORRUPTION_ERROR)
        return value if is_part else super().convert(value, param, ctx)


@click.command()
@click.argument("runs", nargs=-1, type=RunAddress())
@layout_option
@click.option("--format", "style", type=click.Choice(format_names()), default="text", show_default=True)
@click.option("-o", "--output", type=UserPath(), help="Write to this file.")
@click.option(
    "--metric",
    type=MetricName([*METRICS, f"{GROUP_ACCURACY}NAME", f"{CORRUPTION_ERROR}NAME"]),
    help="The metric to show.  [default: each split's primary metric]",
)
@choice(
    "--interval",
    ["t", "bca", "normal", "seeds+examples"],
    "95% interval over seeds: Student-t, BCa bootstrap or normal; or a bootstrap over seeds and test images.",
)
@choice("--test", ["t", "wilcoxon"], "Paired test behind the marks. Wilcoxon's can tell nothing apart with 5 seeds.")
@choice("--marks", ["headline", "all", "none"], "Mark the best of ID and mean OOD, of single OOD sets too, or nothing.")
@choice("--correction", ["holm", "none"], "Correct the marks for the number of methods in a column, or not.")
@click.option(
    "--ensembling",
    type=click.Choice(["without", "with", "both"]),
    help="Which numbers: without ensembling, with it, or both.  [default: as in the paper's table of the layout]",
)
@click.option("--aggregate/--no-aggregate", default=True, help="Mean and IQM over columns (few_shot, transfer).")
@click.option(
    "--against",
    metavar="published|FILE",
    help="Put the paper's numbers beside ours, or those of another paper from a YAML file.",
)
@click.option("--columns", type=Names(), metavar="A,B", help="Only these columns, in this order, as in 'ID,mean OOD'.")
@click.option("--methods", type=Names(), metavar="A,B", help="Only these methods, in this order.")
@click.option("--sort", metavar="COLUMN", help="Rows by this column, the best number first.")
@click.option("--control", metavar="METHOD", help="Compare all methods with this one alone, not with the best.")
@click.option("--caption", metavar="TEXT", help="In place of the generated caption, which {generated} stands for.")
@click.option("--decimals", type=click.IntRange(0, 6), help="Digits after the point.  [default: those of the metric]")
@click.option(
    "--label",
    "labels",
    type=Labelled(),
    multiple=True,
    metavar="NAME=TEXT",
    help="Print TEXT for a method, data set, split, model, run or header. Repeatable.",
)
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
    metric: str | None,
    against: str | None,
    published: bool,
    standalone: bool,
    text_width: float,
    **options: Any,
) -> None:
    """Tables of one or several RUNS together."""
    from flyp_sweep.results import reprint
    from flyp_sweep.results.files import write
    from flyp_sweep.results.tables.formats.text import renderable

    if published == bool(runs):
        found = "both" if runs else "neither"
        raise InputError(f"table: found {found} of RUNS and --published, expected one; name runs, or give --published")
    if published:
        _refuse_options_of_runs()
        made = reprint("distribution_shift" if layout == "auto" else layout)
    else:
        made = _made([open_run(run) for run in runs], layout, metric, against, options)
    if output is None and style == "text" and sys.stdout.isatty():
        console().print(renderable(made))
    elif output is None:
        click.echo(_printed(made, style, standalone, text_width), nl=False)
    else:
        write(output, _printed(made, style, standalone, text_width))


def _made(
    folders: Sequence[RunFolder], layout: str, metric: str | None, against: str | None, options: Mapping[str, Any]
) -> Table:
    """The table of runs: against a paper's numbers or by itself."""
    from flyp_sweep.results import against_published, make_table
    from flyp_sweep.results.outputs import read_runs, refuse_unfinished, refuse_without_metric, table_options

    evidence = read_runs(folders, metric)
    refuse_unfinished(evidence)
    if metric:
        refuse_without_metric(evidence, metric)
    asked = table_options(folders, **{**options, "labels": dict(options["labels"])})
    if against is None:
        return make_table(evidence, layout, asked)
    given = {} if against == "published" else {"published": Path(os.path.expanduser(against))}
    if options["control"] is None:  # that of the search space is for tables with marks
        asked = replace(asked, control=None)
    return against_published(evidence, layout, asked, **given)


def _refuse_options_of_runs() -> None:
    """Raise InputError for the first of `_OF_RUNS` that stands on the command line."""
    context = click.get_current_context()
    for name in _OF_RUNS:
        if (
            context.get_parameter_source("labels" if name == "label" else name)
            == click.core.ParameterSource.COMMANDLINE
        ):
            raise InputError(f"--{name}: found --published, expected RUNS; leave one of them out")


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


@click.command()
@click.argument("trial_id")
@click.option("--run", "runs", multiple=True, type=RunAddress(), help="Run folder or URL.  [default: all in ./runs]")
def show(trial_id: str, runs: tuple[Path | str, ...]) -> None:
    """All about one trial. The first characters of its id suffice if no other id begins with them."""
    from flyp_sweep.results.outputs import run_folders
    from flyp_sweep.results.report.trial_view import find_trial, trial_view

    folders = [open_run(run) for run in runs] or run_folders()
    console().print(trial_view(find_trial(trial_id, folders)))


@click.command()
@runs_argument
@click.option(
    "-o",
    "--output",
    type=UserPath(),
    help="A .png, .svg or .pdf file for one figure, else a folder, with one per run.  [default: each run's figures/]",
)
@click.option(
    "--figure",
    type=click.Choice(
        [
            *("frontier", "ood", "shots", "training", "sensitivity", "importance"),
            *("reliability", "classes", "confusion"),
        ]
    ),
    help="Which figures.  [default: all; into a file the frontier]",
)
@choice("--style", ["screen", "paper"], "For a paper: no title, and no text below 8 pt but labels that must fit.")
def plot(runs: tuple[Path | str, ...], output: Path | None, figure: str | None, style: str) -> None:
    """Figures of one or several RUNS, as PNG, SVG and PDF, one column of a paper wide (3.25 inches).

    ID-OOD frontiers, bars by OOD set, accuracy by shots, training curves, scores of the search, importance of
    hyper-parameters, reliability diagrams, accuracy by class and confusion matrices.
    """
    from flyp_sweep.results.outputs import plot_runs

    refuse_without_file("plot", runs, output)
    for plotted in plot_runs([open_run(run) for run in runs], output, figure, style):
        for written in plotted.paths:
            click.echo(written)
        for line in plotted.warnings:
            click.echo(f"warning: {line}", err=True)


@click.command()
@runs_argument
@layout_option
@click.option(
    "-o",
    "--output",
    type=UserPath(),
    help="Write to this file.  [default: report.html in the run folder]",
)
def report(runs: tuple[Path | str, ...], layout: str, output: Path | None) -> None:
    """One self-contained HTML page of RUNS: what came out, figures, tables, protocol, and every trial."""
    from flyp_sweep.results.outputs import write_report

    refuse_without_file("report", runs, output)
    folders = [open_run(run) for run in runs]
    if output is None and len(folders) > 1:
        raise InputError(
            f"report: found {len(folders)} RUNS and no file, expected -o FILE; a page of several is in none"
        )
    path = output or folders[0].report
    for line in write_report(folders, layout, path):
        click.echo(f"warning: {line}", err=True)
    click.echo(path)
