"""The report: one self-contained page on runs: what came out, figures, tables, protocol, and the trials behind them.

It needs no network, no server and no JavaScript (with which columns sort and links open what they lead to).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from jinja2 import Environment

from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.effective_robustness import robustness_of
from flyp_sweep.results.analysis.importances import FEWEST_CONFIGS, MOST_CONFIGS
from flyp_sweep.results.analysis.protocol_blocks import blocks_of
from flyp_sweep.results.analysis.search_edges import edge_lines, edges_of
from flyp_sweep.results.durations import duration
from flyp_sweep.results.metrics import METRICS, percent
from flyp_sweep.results.report.cell_views import cell_views
from flyp_sweep.results.report.claims import BlockClaims, claims_of
from flyp_sweep.results.report.facts import facts_of, failures_of, notes_of, packages_of
from flyp_sweep.results.report.importance_views import importance_views
from flyp_sweep.results.report.prediction_views import prediction_views
from flyp_sweep.results.report.run import Run
from flyp_sweep.results.report.table_views import grid_groups
from flyp_sweep.results.report.templates import environment
from flyp_sweep.results.tables.options import DEFAULTS, TableOptions
from flyp_sweep.results.tables.table import Table

__all__ = ["Run", "report"]

FIGURE_CAPTIONS = {
    "frontier": (
        "ID-OOD frontier",
        "Each curve runs from the zero-shot model (diamond, alpha = 0) to the fine-tuned one (the method's own mark, "
        "alpha = 1), with a dot at each alpha; the star is the alpha chosen on ID validation data. Bands are as wide "
        "and as high as the 95% Student-t intervals of the means of ID and OOD at each alpha, each by itself; single "
        "points have crosses, and a dotted line joins alphas between which nothing was evaluated. One seed has no "
        "interval.",
    ),
    "ood": (
        "ID test and each OOD set",
        "Mean over seeds with its 95% Student-t interval; one seed has none.",
    ),
    "shots": (
        "Accuracy by shots",
        "Mean over seeds with its 95% Student-t interval (one seed has none), without ensembling; methods are drawn "
        "side by side.",
    ),
    "training": (
        "Training curves",
        "Score and loss on ID validation data after each epoch of the repeats. The thick line is the mean over the "
        "seeds, up to the last epoch that all of them trained; thin lines are the seeds (drawn up to 10), with a mark "
        "at the epoch whose model was kept.",
    ),
    "sensitivity": (
        "Scores of the search",
        "The score (ID validation data alone, mean over seeds) of every configuration that was tried. Where the "
        "selected one lies at an end of its range, a wider range may hold a better one.",
    ),
    "importance": (
        "Importance of hyper-parameters",
        "The shares of the table in the section on the search.",
    ),
}

OUTPUT_CAPTIONS = {
    "reliability": (
        "Reliability",
        "Accuracy against mean confidence, a point per bin; the 15 bins hold equally many images. On the dotted line "
        "confidence equals accuracy; below it a model is overconfident.",
    ),
    "classes": (
        "Accuracy by class on ID test",
        "The hardest class is on top; of more than 20 classes the 20 hardest.",
    ),
    "confusion": (
        "Confusion on ID test",
        "The share of each label's images by predicted class. For more than 20 classes: the numbers of images in the "
        "most confused pairs of label and prediction.",
    ),
}
"""The figures that stand in the section on what the models predict."""


def report(runs: Sequence[Run], table: Table, figures: Mapping[str, bytes], options: TableOptions = DEFAULTS) -> str:
    """The page of one or several runs: their `table`, made with `options`, and their `figures`, SVG files by stem.

    A stem's first word is a key of `FIGURE_CAPTIONS` or `OUTPUT_CAPTIONS`, after `<run>: ` where there are several
    runs.
    """
    views = [view for index, run in enumerate(runs) for view in cell_views(run, index)]
    anchors = {row.trial_id: f"r{view.anchor}" for view in views for row in view.repeats}
    page = _environment().get_template("page.html")
    return page.render(
        title=", ".join(run.name for run in runs),
        runs=runs,
        claims=_claims(runs, options),
        control=options.control,
        facts=facts_of(runs),
        warnings=edge_lines(edge for run in runs for edge in edges_of(run.searches)),
        failures=failures_of(runs),
        notes=notes_of(trial for run in runs for trial in run.trials),
        packages=packages_of(runs),
        groups=grid_groups(table, anchors),
        figures=_figures(figures, FIGURE_CAPTIONS),
        diagrams=_figures(figures, OUTPUT_CAPTIONS),
        robustness=[one for run in runs for one in robustness_of(cell_results(run.evidence))],
        importances=[view for run in runs for view in importance_views(run.importances)],
        limits=(FEWEST_CONFIGS, MOST_CONFIGS),
        predictions=[view for run in runs for view in prediction_views(run.predicted.blocks, anchors)],
        views=views,
    )


def _claims(runs: Sequence[Run], options: TableOptions) -> list[BlockClaims]:
    """The claims of all runs together; of each run by itself where two runs hold the same cell."""
    results = [result for run in runs for result in cell_results(run.evidence)]
    if len({result.cell for result in results}) == len(results):
        return claims_of(blocks_of(results), options)
    return [
        BlockClaims(f"{run.name}: {one.title}", one.sentences)
        for run in runs
        for one in claims_of(blocks_of(cell_results(run.evidence)), options)
    ]


def _environment() -> Environment:
    made = environment()
    made.filters |= {
        "percent": _percent,
        "points": METRICS["accuracy"].printed,
        "duration": duration,
        "short": short,
    }
    return made


def _figures(
    figures: Mapping[str, bytes], captions: Mapping[str, tuple[str, str]]
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Per kind its title, its caption, and (name, SVG in base 64) of its figures."""
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for stem, svg in figures.items():
        kind = stem.rpartition(": ")[2].partition("-")[0]
        by_kind.setdefault(kind, []).append((stem, base64.b64encode(svg).decode()))
    return [(*captions[kind], by_kind[kind]) for kind in captions if kind in by_kind]


def _percent(value: float | None) -> str:
    return "-" if value is None else percent(value)


def short(value: object) -> str:
    """A hyper-parameter as it is printed: numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
