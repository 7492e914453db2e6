"""Accuracy by class on the ID test split: a row for each class, a mark for each method."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from flyp_sweep.results.analysis.best_repeats import Predicted, PredictedBlock
from flyp_sweep.results.figures.per_block import draw_each, without_id_test
from flyp_sweep.results.figures.style import (
    GRID,
    STYLE,
    Drawn,
    add_grid,
    add_legend,
    add_title,
    colours_of,
    lay_out,
    legend_columns,
    literal,
    marker,
    new_figure,
    shapes_of,
    shortened,
)
from flyp_sweep.results.statistics.confusion import per_class_accuracy

MOST_CLASSES = 20
"""Classes that are shown; of more, the hardest."""
_MARK, _GAP, _REST = 0.045, 0.09, 1.05
"""Inches: from the mark of a method to that of the next, the room between two classes, and all but the rows."""
_LONGEST = 22  # characters of a class's name


def draw_classes(predicted: Predicted) -> Drawn:
    """`classes-<dataset>-<model>-<shots>` for every block with per-example outputs on an ID test split."""
    return draw_each("classes", predicted, draw, without_id_test)


def draw(block: PredictedBlock) -> Figure:
    """3.25 inches wide: the accuracy (%) of the best repeat of each method on every class, the hardest class on top."""
    shown = [(one, one.on_id) for one in block.methods if one.on_id is not None]
    names = shown[0][0].classes
    found = np.array([per_class_accuracy(outputs.labels, outputs.predicted, len(names)) for _, outputs in shown])
    occurring = np.flatnonzero(~np.isnan(found).all(axis=0))
    order = occurring[np.argsort(np.nanmean(found[:, occurring], axis=0), kind="stable")][:MOST_CLASSES]
    methods = [one.method for one, _ in shown]
    colours, shapes = colours_of(methods), shapes_of(methods)
    labels = [one.label for one, _ in shown]
    rows = -(-len(shown) // legend_columns(labels))
    with rc_context(STYLE):
        figure = new_figure((_MARK * len(shown) + _GAP) * len(order) + _REST + 0.15 * rows)
        axes = figure.subplots()
        add_grid(axes, "x")
        for at in range(0, len(order), 2):
            axes.axhspan(at - 0.5, at + 0.5, color=GRID, alpha=0.35, linewidth=0, zorder=0)
        shifts = (np.arange(len(shown)) - (len(shown) - 1) / 2) * _MARK / (_MARK * len(shown) + _GAP)
        for (one, _), values, shift in zip(shown, found, shifts, strict=True):
            look = marker(shapes[one.method], colours[one.method], 4.2)
            axes.plot(
                100 * values[order], np.arange(len(order)) + shift, **look, label=literal(one.label), clip_on=False
            )
        axes.set_yticks(range(len(order)), [shortened(names[at], _LONGEST) for at in order])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_xlabel("accuracy (%)")
        hardest = f", the {len(order)} hardest of {len(occurring):,} classes" if len(occurring) > len(order) else ""
        add_title(figure, f"{block.title}: ID test{hardest}")
        add_legend(figure, axes.get_legend_handles_labels()[0], labels)
        lay_out(figure)
    return figure
