"""Confusion on the ID test split: a heat map for each method, or, of many classes, the most confused pairs."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from flyp_sweep.results.analysis.best_repeats import BestRepeat, Predicted, PredictedBlock
from flyp_sweep.results.figures.per_block import draw_each, without_id_test
from flyp_sweep.results.figures.style import (
    DENSE,
    STYLE,
    WIDTH,
    Drawn,
    add_title,
    lay_out,
    literal,
    new_figure,
    shortened,
)
from flyp_sweep.results.statistics.confusion import most_confused

MOST_CLASSES = 20
"""Classes that a heat map shows."""
MOST_PAIRS = 15
_COLOURS = "Blues"
_PER_ROW, _BARS_PER_ROW = 3, 2
_ACROSS, _DOWN = 1.1, 1.22
"""From one heat map to the next, in their widths."""
_BAR_HEIGHT = 0.12  # inches
_LONGEST = 14  # characters of a class's name


def draw_confusion(predicted: Predicted) -> Drawn:
    """`confusion-<dataset>-<model>-<shots>` for every block with per-example outputs on an ID test split."""
    return draw_each("confusion", predicted, draw, without_id_test)


def draw(block: PredictedBlock) -> Figure:
    """3.25 inches wide; a panel per method, of its best repeat.

    A heat map's rows are the labels, its columns the predictions, its colours the share of the row in percent. Bars
    count the images of one class that are taken for another.
    """
    shown = [one for one in block.methods if one.on_id is not None]
    classes = max(len(one.classes) for one in shown)
    with rc_context(STYLE):
        figure = _maps(shown) if classes <= MOST_CLASSES else _bars(shown)
        add_title(figure, f"{block.title}: ID test")
        lay_out(figure)
    return figure


def _maps(shown: list[BestRepeat]) -> Figure:
    """All heat maps on one pair of axes, each one unit wide: axes of their own would take a second to draw."""
    rows = math.ceil(len(shown) / _PER_ROW)
    classes, names = len(shown[0].classes), [shortened(name, _LONGEST) for name in shown[0].classes]
    figure = new_figure(rows * (WIDTH - 0.5) / _PER_ROW * _DOWN + 0.9)
    axes = figure.add_subplot()
    norm = Normalize(0, 100)
    for at, one in enumerate(shown):
        left, top = at % _PER_ROW * _ACROSS, -(at // _PER_ROW) * _DOWN
        matrix = one.confusion
        assert matrix is not None
        counts = matrix.sum(axis=1, keepdims=True)
        shares = np.divide(100 * matrix, counts, out=np.zeros(matrix.shape), where=counts > 0)
        axes.imshow(shares, norm=norm, cmap=_COLOURS, extent=(left, left + 1, top - 1, top))
        axes.add_patch(Rectangle((left, top - 1), 1, 1, fill=False, edgecolor="#888888", linewidth=0.5, clip_on=False))
        axes.text(left, top + 0.03, literal(one.label), fontsize=8)
    within = (np.arange(classes) + 0.5) / classes
    columns = len(shown) - (rows - 1) * _PER_ROW
    axes.set_xticks(np.add.outer(np.arange(columns) * _ACROSS, within).ravel(), columns * names, rotation=90)
    axes.set_yticks(np.subtract.outer(-np.arange(rows) * _DOWN, within).ravel(), rows * names)
    axes.set_label(DENSE)
    axes.tick_params(length=0, pad=1, labelsize=5)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(0, _PER_ROW * _ACROSS), ylim=(-rows * _DOWN + _DOWN - 1, _DOWN - 1))
    axes.set_xlabel("predicted", fontsize=7, loc="left")
    axes.set_ylabel("label", fontsize=7)
    bar = figure.colorbar(ScalarMappable(norm, _COLOURS), ax=axes, location="bottom", aspect=40, pad=0.02)
    bar.set_label("share of the label's images (%)", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    bar.outline.set_linewidth(0.4)
    return figure


def _bars(shown: list[BestRepeat]) -> Figure:
    rows = math.ceil(len(shown) / _BARS_PER_ROW)
    figure = new_figure(rows * (MOST_PAIRS * _BAR_HEIGHT + 0.25) + 0.5)
    grid = figure.subplots(rows, _BARS_PER_ROW, sharex=True, squeeze=False)
    for at, axes in enumerate(grid.ravel()):
        if at < len(shown):
            _draw_bars(axes, shown[at])
        else:
            axes.remove()
    for axes in grid[(len(shown) - 1) // _BARS_PER_ROW, :]:
        axes.set_xlabel("images", fontsize=7)
    return figure


def _draw_bars(axes: Axes, one: BestRepeat) -> None:
    assert one.on_id is not None
    pairs = most_confused(one.on_id.labels, one.on_id.predicted, MOST_PAIRS)
    axes.set_title(literal(one.label), loc="left", fontsize=8)
    names = [
        f"{shortened(one.classes[pair.label], _LONGEST)} → {shortened(one.classes[pair.predicted], _LONGEST)}"
        for pair in pairs
    ]
    axes.barh(range(len(pairs)), [pair.count for pair in pairs], color="#4C78A8", height=0.7)
    axes.set_label(DENSE)
    axes.set_yticks(range(len(pairs)), names, fontsize=4.5)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(axis="x", labelsize=6)
