"""The files that are made from the ledgers of runs: tidy results, tables, figures and reports."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.evidence import Evidence, evidence_of, read_evidence
from flyp_sweep.results.analysis.training_curves import CurveReader, SeedCurve
from flyp_sweep.results.files import write
from flyp_sweep.results.ledger.labels import with_labels
from flyp_sweep.results.ledger.run_folder import LEDGER, RunFolder
from flyp_sweep.results.ledger.schema import Record
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.tables.formats import format_names, format_of
from flyp_sweep.results.tables.make import make_table
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.summary import Summary, summary_of
from flyp_sweep.results.tables.table import Table
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import one_line, one_of
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load

if TYPE_CHECKING:
    from flyp_sweep.results.figures import Drawn, Material
    from flyp_sweep.results.report import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """The table, the files a user opens first, and what to look at before the numbers are believed, a line each.

    The `summary` is the small table that a run ends with. The report is the last of the `paths`.
    """

    table: Table
    paths: list[Path]
    warnings: list[str]
    summary: Summary


@dataclass(frozen=True)
class Plotted:
    """The figures written, and what to say of them: why others are not there, and winners on an edge."""

    paths: tuple[Path, ...]
    warnings: tuple[str, ...]


def planned_cells(folder: RunFolder) -> list[Cell]:
    """The cells of the search space in a run folder; none where there is a ledger alone."""
    return load(folder.space).cells() if folder.space.is_file() else []


def read_runs(folders: Sequence[RunFolder], metric: str | None = None) -> list[Evidence]:
    """What tables need of several runs: by name, or by path where two have the same name.

    `metric` as in `read_evidence`.
    """
    return [read_evidence(folder, planned_cells(folder), name, metric) for folder, name in _named(folders)]


def table_options(folders: Sequence[RunFolder], **given: Any) -> TableOptions:
    """Options of `TableOptions` with what the search spaces of runs say of tables; what is `given` wins.

    Of several runs the first that says something wins, key by key and label by label. Empty and None are not given.
    """
    said = [shown for folder in folders if folder.space.is_file() and (shown := load(folder.space).tables)]
    merged: dict[str, Any] = {}
    for shown in reversed(said):
        labels = {**merged.get("labels", {}), **shown.labels}
        merged |= {name: value for name, value in dict(shown).items() if value is not None} | {"labels": labels}
    labels = {**merged.get("labels", {}), **given.pop("labels", {})}
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    return TableOptions(**{**merged, **asked, "labels": labels})


def _named(folders: Sequence[RunFolder]) -> list[tuple[RunFolder, str]]:
    names = [folder.name for folder in folders]
    alike = len(set(names)) < len(names)
    return [(folder, folder.label if alike else folder.name) for folder in folders]


def refuse_unfinished(evidence: Sequence[Evidence]) -> None:
    """Raises InputError when no repeat has finished: a table would be empty."""
    if not any(result.state == "done" for one in evidence for result in cell_results(one)):
        runs = ", ".join(one.run for one in evidence)
        raise InputError(f"{runs}: nothing has finished yet, expected a repeat; `flyp-sweep status RUN` tells how far")


def refuse_without_metric(evidence: Sequence[Evidence], metric: str) -> None:
    """Raises InputError when no finished repeat has the metric: a table would have no column."""
    if not any(result.measures for one in evidence for result in cell_results(one)):
        runs = ", ".join(one.run for one in evidence)
        raise InputError(
            f"--metric {metric}: found none in {runs}, expected that of a finished repeat; {metric_of(metric).absent}"
        )


def run_folders(runs: Path = Path("runs")) -> list[RunFolder]:
    """All run folders in `runs`. Raises InputError where there is none."""
    found = sorted(ledger.parent for ledger in runs.glob(f"*/{LEDGER}"))
    if not found:
        raise InputError(f"{runs}: found no run folder; name one with --run")
    return [RunFolder(path) for path in found]


def write_outputs(folder: RunFolder, planned: list[Cell]) -> Outputs:
    """Write results.parquet, the tables, the figures and the report from the ledger."""
    from flyp_sweep.results.ledger.tidy import write_parquet  # pandas is heavy, and a table does without
    from flyp_sweep.results.report import report

    ledger = _read_ledger(folder)
    evidence = evidence_of(ledger.records, folder.name, planned, ledger.sha256)
    table, options, refused = table_of(evidence, folder)
    run, material = _labelled(ledger, folder, planned, folder.name, options.labels)
    write_parquet(material.frame, folder.results)
    paths = []
    for name in format_names():
        style = format_of(name)
        path = folder.tables / f"comparison.{style.suffix}"
        write(path, style.render(table))
        paths.append(path)
    figures, pictures, warnings = _write_figures(material, folder)
    write(folder.report, report([_with_all(run, material)], table, pictures, options))
    told = [*refused, *warnings, *_edge_lines(run), *_note_lines(run)]
    return Outputs(table, [*paths, *figures, folder.report], told, summary_of(run.evidence, options))


def table_of(evidence: Evidence, folder: RunFolder) -> tuple[Table, TableOptions, list[str]]:
    """The table of a run as its search space wants it, else the plain one, with its options; and why it is plain.

    The names of splits and columns are known when they have been measured. A wrong one must not cost a run its table.
    """
    options = table_options([folder])
    try:
        return make_table([evidence], options=options), options, []
    except InputError as error:
        line = f"{folder.space}: {error}; mend it there, or give the option, and make the table again"
        return make_table([evidence]), TableOptions(), [line]


def _write_figures(material: Material, folder: RunFolder) -> tuple[list[Path], dict[str, bytes], list[str]]:
    """Write the figures of all kinds; returns their files, the SVG files by stem, and a line per kind that failed.

    Raises UnwritableError. Whatever else goes wrong with a figure costs neither tables nor report.
    """
    from flyp_sweep.results.figures import KINDS, draw, for_both_modes, save_all

    paths: list[Path] = []
    pictures: dict[str, bytes] = {}
    warnings = []
    for kind in KINDS:
        try:
            drawn = draw(material, [kind])
            paths += save_all(drawn, folder.figures).paths
        except InputError:
            raise
        except Exception as error:
            log.warning("figures of kind %s cannot be drawn", kind, exc_info=True)
            reason = one_line(f"{type(error).__name__}: {error}")[:300]
            warnings.append(f"figures of kind {kind} cannot be drawn ({reason}); {folder.path / 'log.txt'} has more")
        else:
            stems = [stem for one in drawn for stem in one.figures]
            pictures |= {stem: for_both_modes((folder.figures / f"{stem}.svg").read_bytes()) for stem in stems}
            warnings += _without_frontier(drawn) if kind == "frontier" else []
    return paths, pictures, warnings


def _without_frontier(drawn: Sequence[Drawn]) -> list[str]:
    """Why data sets have no frontier, a line for each reason."""
    titles: dict[str, list[str]] = {}
    for one in drawn:
        for title, reason in one.skipped.items():
            titles.setdefault(reason, []).append(title)
    return [
        f"no frontier of {held[0]}{f' and {len(held) - 1:,} more' if held[1:] else ''}: {reason}"
        for reason, held in titles.items()
    ]


def write_report(folders: Sequence[RunFolder], layout: str, output: Path) -> list[str]:
    """Write the report of one or several runs as one page; returns its warnings.

    Raises InputError as `make_table` does.
    """
    from flyp_sweep.results.figures import draw, file_of, for_both_modes
    from flyp_sweep.results.report import report

    options = table_options(folders)
    read = [
        _labelled(_read_ledger(folder), folder, planned_cells(folder), name, options.labels)
        for folder, name in _named(folders)
    ]
    table = make_table([run.evidence for run, _ in read], layout, options)
    pictures: dict[str, bytes] = {}
    for run, material in read:
        prefix = f"{run.name}: " if len(read) > 1 else ""
        figures = {stem: figure for one in draw(material) for stem, figure in one.figures.items()}
        pictures |= {prefix + stem: for_both_modes(file_of(figure, ".svg")) for stem, figure in figures.items()}
    write(output, report([_with_all(run, material) for run, material in read], table, pictures, options))
    return [line for run, _ in read for line in _edge_lines(run)]


@dataclass(frozen=True)
class _Ledger:
    """One reading of a ledger: its records without the curves of training, those of the repeats, and its hash."""

    records: Sequence[Record]
    curves: Mapping[str, SeedCurve]
    sha256: str


def _read_ledger(folder: RunFolder) -> _Ledger:
    reader = CurveReader()
    records, sha256 = folder.ledger.load_hashed(curves=False, listen=reader.take)
    return _Ledger(records, reader.curves, sha256)


def _labelled(
    ledger: _Ledger, folder: RunFolder, planned: list[Cell], name: str, labels: Mapping[str, str]
) -> tuple[Run, Material]:
    """What reports and figures need of a run; its methods have the `labels` of `TableOptions` wherever they stand."""
    from flyp_sweep.results.analysis.best_repeats import predicted_in
    from flyp_sweep.results.analysis.searches import searches_of
    from flyp_sweep.results.figures import Material
    from flyp_sweep.results.ledger.tidy import tidy_frame
    from flyp_sweep.results.report import Run

    records = with_labels(ledger.records, labels)
    evidence = evidence_of(records, name, planned, ledger.sha256)
    space = load(folder.space) if folder.space.is_file() else None
    text = folder.space.read_text(encoding="utf-8") if space else ""
    run = Run(name, text, tuple(records), evidence, tuple(searches_of(records, space)))
    read_predicted = partial(predicted_in, records, folder.prediction_files)
    return run, Material(tidy_frame(records), evidence, run.searches, ledger.curves, read_predicted, labels)


def _with_all(run: Run, material: Material) -> Run:
    """A run as a report needs it: with what takes a while to read or to compute."""
    try:
        importances = material.importances
    except Exception:  # of Optuna's: a figure's warning, and this line of the log, are to be all that it costs
        log.warning("the importances of hyper-parameters are left out of the report", exc_info=True)
        importances = []
    return replace(run, predicted=material.predicted, importances=importances)


def _edge_lines(run: Run) -> list[str]:
    from flyp_sweep.results.analysis.search_edges import edge_lines, edges_of

    return edge_lines(edges_of(run.searches))


def _note_lines(run: Run) -> list[str]:
    """What repeats noted of themselves."""
    from flyp_sweep.results.report.facts import notes_of

    return notes_of(trial for trial in run.trials if trial.stage == "repeat")


def plot_runs(
    folders: Sequence[RunFolder], output: Path | None, kind: str | None = None, look: str = "screen"
) -> Iterator[Plotted]:
    """Draw the figures of each run into its figures/, or all into a folder, in which several get one each by name.

    One file takes one figure of one run. `look` is one of `LOOKS`. Raises InputError as `plot_run` does, and before
    anything is drawn where files of two runs would have the same path.
    """
    several = len(folders) > 1
    if output is not None and several:
        if _is_file(output):
            raise InputError(f"-o {output}: found one file for {len(folders)} runs, expected one run, or a folder")
        names = [folder.name for folder in folders]
        if alike := [name for name in names if names.count(name) > 1]:
            raise InputError(
                f"-o {output}: found several runs called {alike[0]}, expected different names; plot one by one"
            )
    for folder in folders:
        yield plot_run(folder, output, kind, folder.name if several else "", look)


def _is_file(output: Path) -> bool:
    """Whether a file is meant, not a folder."""
    return output.suffix != "" and not output.is_dir()


def plot_run(
    folder: RunFolder, output: Path | None, kind: str | None = None, within: str = "", look: str = "screen"
) -> Plotted:
    """Draw the figures of a run into its figures/, a folder (or one called `within` in it) or one file.

    One file takes one figure, a frontier where no `kind` is named. Raises InputError when the run has several of that
    kind, or none of a `kind` that was named.
    """
    from flyp_sweep.results.figures import KINDS, SUFFIXES, draw, save_all, save_one

    into_file = output is not None and _is_file(output)
    if output and into_file and output.suffix.lower() not in SUFFIXES:
        raise InputError(f"-o {output}: found {output.suffix}, expected {one_of(SUFFIXES)}, or a folder")
    if into_file:
        kind = kind or "frontier"
    labels = table_options([folder]).labels
    run, material = _labelled(_read_ledger(folder), folder, planned_cells(folder), folder.name, labels)
    drawn = draw(material, [kind] if kind else list(KINDS), look)
    figures = [figure for one in drawn for figure in one.figures.values()]
    reasons = [f"{title}: {reason}" for one in drawn for title, reason in one.skipped.items()]
    if kind and not figures:
        others = f"choose another one by --figure: {', '.join(one for one in KINDS if one != kind)}"
        raise InputError(
            f"{folder.label}: found no {kind} figure: {'; '.join(reasons) or 'nothing is there yet'}; {others}"
        )
    warnings = _edge_lines(run) if kind in (None, "sensitivity") else []
    if not output or not into_file:
        where = output / within if output else folder.figures
        return Plotted(save_all(drawn, where).paths, (*reasons, *warnings))
    if len(figures) > 1:
        raise InputError(
            f"-o {output}: {folder.label} has {len(figures)} figures of --figure {kind}; expected one: "
            "name a folder instead"
        )
    save_one(figures[0], output)
    return Plotted((output,), tuple(warnings))
