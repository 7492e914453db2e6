"""Accuracy against shots as a figure."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Evidence
from flyp_sweep.results.analysis.shots import Line, Panel, ShotsCurves, shots_curves
from flyp_sweep.results.figures.style import (
    STYLE,
    TITLE,
    Drawn,
    add_grid,
    add_legend,
    colours_of,
    lay_out,
    line_handles,
    literal,
    marker,
    new_figure,
    shapes_of,
)
from flyp_sweep.results.naming import block_title, slugs

_PANEL_HEIGHT, _LEGEND_HEIGHT = 2.1, 0.55  # inches
_DODGE = 1.035
"""Factor between the shots at which two methods are drawn: bars at one place would cover each other."""


def draw_shots(evidence: Iterable[Evidence]) -> Drawn:
    """`shots-<dataset>-<model>` for every data set and model with cells of several shots, without ensembling."""
    curves = shots_curves(evidence)
    stems = slugs([("shots", one.dataset, one.model) for one in curves])
    figures = {stem: draw(one) for stem, one in zip(stems, curves, strict=True)}
    return Drawn(figures, {} if figures else {"accuracy by shots": "nothing has finished at two or more shots"})


def draw(curves: ShotsCurves) -> Figure:
    """A panel for ID test and one for OOD, 3.25 inches wide; bars are 95% Student-t intervals over seeds."""
    labels = {line.method: line.label for panel in curves.panels for line in panel.lines if not line.is_constant}
    methods = list(labels)
    with rc_context(STYLE):
        figure = new_figure(_PANEL_HEIGHT * len(curves.panels) + _LEGEND_HEIGHT)
        rows = figure.subplots(len(curves.panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, curves.panels, strict=True):
            _draw_panel(axes, panel, methods)
        title = literal(block_title(curves.dataset, curves.model, None))
        rows[0].set_title(f"{title}, {SIDE_LABELS[curves.side]}", loc="left").set_label(TITLE)
        rows[-1].set_xlabel("shots (images per class)")
        add_legend(figure, _legend(curves, labels), labels.values(), "outside upper center")
        lay_out(figure)
    return figure


def _draw_panel(axes: Axes, panel: Panel, methods: list[str]) -> None:
    axes.set_xscale("log", base=2)
    add_grid(axes)
    axes.set_ylabel(panel.label)
    shots = sorted({count for line in panel.lines for count in line.intervals})
    axes.xaxis.set_major_locator(FixedLocator(shots))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlim(shots[0] / 1.35, shots[-1] * 1.35)
    for line in panel.lines:
        if line.is_constant:
            means = {100 * interval.mean for interval in line.intervals.values()}
            for mean in means:
                axes.axhline(mean, color="black", linewidth=0.9, linestyle="--", zorder=1.5)
        else:
            _draw_line(axes, line, methods)


def _draw_line(axes: Axes, line: Line, methods: list[str]) -> None:
    colour, shape = colours_of(methods)[line.method], shapes_of(methods)[line.method]
    dodge = _DODGE ** (methods.index(line.method) - (len(methods) - 1) / 2)
    counts = sorted(line.intervals)
    found = [line.intervals[count] for count in counts]
    axes.errorbar(
        [count * dodge for count in counts],
        [100 * one.mean for one in found],
        [100 * one.half_width if one.n > 1 else 0.0 for one in found],
        ecolor=colour,
        elinewidth=0.9,
        capsize=1.6,
        capthick=0.9,
        zorder=2.5,
        **{**marker(shape, colour, 4.5), "linestyle": "-", "linewidth": 1.2},
    )


def _legend(curves: ShotsCurves, labels: dict[str, str]) -> list[Line2D]:
    handles = line_handles(labels)
    if any(line.is_constant for panel in curves.panels for line in panel.lines):
        handles.append(Line2D([], [], color="black", linewidth=0.9, linestyle="--", label="zero-shot"))
    return handles
