"""Confusion on the ID test split: a heat map for each method, or, of many classes, the most confused pairs."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flyp_sweep.results.analysis.best_repeats import BestRepeat, Predicted, PredictedBlock
from flyp_sweep.results.figures.per_block import draw_each
from flyp_sweep.results.figures.style import STYLE, WIDTH, Drawn, lay_out, literal, new_figure
from flyp_sweep.results.statistics.confusion import most_confused

MOST_CLASSES = 20
"""Classes that a heat map shows."""
MOST_PAIRS = 15
_COLOURS = "Blues"
_PER_ROW, _BARS_PER_ROW = 3, 2
_BAR_HEIGHT = 0.12  # inches
_LONGEST = 14  # characters of a class's name


def draw_confusion(predicted: Predicted) -> Drawn:
    """`confusion-<dataset>-<model>-<shots>` for every block with per-example outputs on an ID test split."""
    return draw_each(
        "confusion",
        predicted,
        draw,
        lambda block: "" if any(one.id_split for one in block.methods) else "there is no ID test split",
    )


def draw(block: PredictedBlock) -> Figure:
    """3.25 inches wide; a panel per method, of its best repeat.

    A heat map's rows are the labels, its columns the predictions, its colours the share of the row in percent. Bars
    count the images of one class that are taken for another.
    """
    shown = [one for one in block.methods if one.confusion is not None]
    classes = max(len(one.classes) for one in shown)
    with rc_context(STYLE):
        figure = _maps(shown) if classes <= MOST_CLASSES else _bars(shown)
        figure.suptitle(literal(f"{block.title}: ID test"), x=0.01, ha="left", fontsize=8.5)
        lay_out(figure)
    return figure


def _maps(shown: list[BestRepeat]) -> Figure:
    rows = math.ceil(len(shown) / _PER_ROW)
    figure = new_figure(rows * WIDTH / _PER_ROW * 1.12 + 0.9)
    grid = figure.subplots(rows, _PER_ROW, sharex=True, sharey=True, squeeze=False)
    norm = Normalize(0, 100)
    names = [_short(name) for name in shown[0].classes]
    for at, axes in enumerate(grid.ravel()):
        if at >= len(shown):
            axes.remove()
            continue
        one = shown[at]
        assert one.confusion is not None
        counts = one.confusion.sum(axis=1, keepdims=True)
        shares = np.divide(100 * one.confusion, counts, out=np.zeros(one.confusion.shape), where=counts > 0)
        axes.imshow(shares, norm=norm, cmap=_COLOURS)
        axes.set_title(literal(one.label), loc="left", fontsize=8)
        axes.tick_params(length=1.5, labelsize=5)
        axes.tick_params(axis="x", labelrotation=90)
    grid[0, 0].set_xticks(range(len(names)), names)  # of all panels, which share their axes
    grid[0, 0].set_yticks(range(len(names)), names)
    for axes in grid[:, 0]:
        axes.set_ylabel("label", fontsize=7)
    for axes in grid[(len(shown) - 1) // _PER_ROW, :]:
        axes.set_xlabel("predicted", fontsize=7)
    bar = figure.colorbar(
        ScalarMappable(norm, _COLOURS), ax=grid.ravel().tolist()[: len(shown)], location="bottom", aspect=40, pad=0.02
    )
    bar.set_label("share of the label's images (%)", fontsize=7)
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
    assert one.confusion is not None
    pairs = most_confused(one.confusion, MOST_PAIRS)
    axes.set_title(literal(one.label), loc="left", fontsize=8)
    names = [f"{_short(one.classes[pair.label])} → {_short(one.classes[pair.predicted])}" for pair in pairs]
    axes.barh(range(len(pairs)), [pair.count for pair in pairs], color="#4C78A8", height=0.7)
    axes.set_yticks(range(len(pairs)), names, fontsize=4.5)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(axis="x", labelsize=6)


def _short(name: str) -> str:
    return literal(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")
