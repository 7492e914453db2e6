"""Training curves: score and loss on ID validation data by epoch, a line for each method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flyp_sweep.results.analysis.training_curves import BlockCurves, MethodCurves, SeedCurve
from flyp_sweep.results.figures.style import (
    STYLE,
    Drawn,
    add_grid,
    add_legend,
    add_title,
    colours_of,
    lay_out,
    line_handles,
    marker,
    new_figure,
    shapes_of,
)
from flyp_sweep.results.naming import shots_label, slugs
from flyp_sweep.results.statistics.intervals import mean_interval

_PANEL_HEIGHT, _LEGEND_HEIGHT = 1.6, 0.75  # inches
MOST_LINES = 10
"""Seeds of a method that are drawn as thin lines; of more, the mean alone."""


def draw_training(found: Iterable[BlockCurves]) -> Drawn:
    """`training-<dataset>-<model>-<shots>` for every block with a repeat of several epochs."""
    blocks = list(found)
    stems = slugs([("training", one.dataset, one.model, shots_label(one.shots)) for one in blocks])
    figures = {stem: draw(one) for stem, one in zip(stems, blocks, strict=True)}
    return Drawn(figures, {} if figures else {"training curves": "no repeat with several epochs has finished yet"})


def draw(block: BlockCurves) -> Figure:
    """A panel for the score and, where the ledger has it, one for the loss, 3.25 inches wide.

    The thick line is the mean over seeds, as far as all of them trained; thin lines are the seeds. A mark stands at the
    epoch that a seed kept.
    """
    labels = {one.method: one.label for one in block.methods}
    methods = list(labels)
    colours, shapes = colours_of(methods), shapes_of(methods)
    widths = dict(zip(methods, np.linspace(1.9, 1.1, len(methods)).tolist(), strict=True))  # the last lies on top
    with_loss = any(seed.losses for one in block.methods for seed in one.seeds)
    metric = block.metric.replace("_", " ") or "score"
    with rc_context(STYLE):
        figure = new_figure(_PANEL_HEIGHT * (1 + with_loss) + _LEGEND_HEIGHT)
        rows = figure.subplots(1 + with_loss, 1, sharex=True, squeeze=False)[:, 0]
        for one in block.methods:
            look = colours[one.method], shapes[one.method], widths[one.method]
            _draw_method(rows[0], one, lambda seed: [100 * score for score in seed.scores], *look)
            if with_loss:
                _draw_method(rows[1], one, lambda seed: list(seed.losses), *look)
        for axes, label in zip(rows, (f"id_val {metric} (%)", "id_val loss"), strict=False):
            add_grid(axes)
            axes.set_ylabel(label)
        rows[-1].set_xlabel("epoch (0: before training)")
        rows[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        add_title(figure, block.title)
        add_legend(figure, line_handles(labels), labels.values())
        lay_out(figure)
    return figure


def _draw_method(
    axes: Axes,
    one: MethodCurves,
    values_of: Callable[[SeedCurve], Sequence[float]],
    colour: str,
    shape: str,
    width: float,
) -> None:
    lines = [(seed, dict(zip(seed.epochs, values_of(seed), strict=False))) for seed in one.seeds]
    if len(lines) <= MOST_LINES:
        for seed, line in lines:
            axes.plot(list(line), list(line.values()), color=colour, linewidth=0.5, alpha=0.45, zorder=1.5)
            if seed.best in line:
                axes.plot(seed.best, line[seed.best], **marker(shape, colour, 3.4), zorder=3)
    shared = [epoch for epoch in lines[0][1] if all(epoch in line for _, line in lines)]
    means = [mean_interval([line[epoch] for _, line in lines]).mean for epoch in shared]
    axes.plot(shared, means, color=colour, linewidth=width, zorder=2)
