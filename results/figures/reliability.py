"""Reliability diagrams: how often the methods are right, by how sure they are."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flyp_sweep.results.analysis.best_repeats import Predicted, PredictedBlock
from flyp_sweep.results.figures.per_block import draw_each
from flyp_sweep.results.figures.style import (
    STYLE,
    WIDTH,
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
)

_LEGEND_ROW = 0.17  # inches
_REST = 0.75
"""Inches of title, axis labels and ticks."""


def draw_reliability(predicted: Predicted) -> Drawn:
    """`reliability-<dataset>-<model>-<shots>` for every block with per-example outputs."""
    return draw_each("reliability", predicted, draw, lambda block: "")


def draw(block: PredictedBlock) -> Figure:
    """A panel for ID test and one for all OOD sets together, 3.25 inches wide: accuracy against confidence, in percent.

    A point per bin of 15 that hold equally many images each, of the best repeat of each method.
    """
    panels = list(dict.fromkeys(name for one in block.methods for name in one.pooled))
    labels = [one.label for one in block.methods]
    side = (WIDTH - 0.5) / 2
    with rc_context(STYLE):
        figure = new_figure(side + _REST + _LEGEND_ROW * -(-len(labels) // legend_columns(labels)))
        row = figure.subplots(1, max(2, len(panels)), sharey=True, squeeze=False)[0]
        for axes in row[len(panels) :]:
            axes.remove()
        for axes, panel in zip(row, panels, strict=False):
            _draw_panel(axes, block, panel)
        row[0].set_ylabel("accuracy (%)")
        add_title(figure, block.title)
        add_legend(figure, row[0].get_legend_handles_labels()[0], labels)
        lay_out(figure)
    return figure


def _draw_panel(axes: Axes, block: PredictedBlock, panel: str) -> None:
    names = [one.method for one in block.methods]
    colours, shapes = colours_of(names), shapes_of(names)
    axes.set_title(panel, loc="left", fontsize=8)
    add_grid(axes)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="confidence (%)")
    axes.plot([0, 100], [0, 100], color="#888888", linewidth=0.8, linestyle=":", zorder=1)
    for one in block.methods:
        if panel in one.pooled:
            found = one.pooled[panel].reliability
            look = marker(shapes[one.method], colours[one.method], 3.2) | {"linestyle": "-", "linewidth": 0.9}
            axes.plot(100 * found.confidence, 100 * found.accuracy, **look, label=literal(one.label), clip_on=False)
