"""Every method on ID test and on each OOD set, as bars with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flyp_sweep.results.analysis.by_split import Bars, SplitBars
from flyp_sweep.results.analysis.evidence import SIDE_LABELS
from flyp_sweep.results.figures.style import (
    STYLE,
    Drawn,
    add_grid,
    add_legend,
    add_title,
    colours_of,
    lay_out,
    literal,
    new_figure,
    shortened,
)
from flyp_sweep.results.naming import ZEROSHOT, shots_label, slugs

MOST_SPLITS = 20
_BAR, _GAP, _REST = 0.068, 0.12, 0.95
"""Inches: a bar, the room between two splits, and all but the bars."""
_LONGEST = 16  # characters of a split's name


def draw_splits(found: Iterable[SplitBars], names: Mapping[str, str] = MappingProxyType({})) -> Drawn:
    """`ood-<dataset>-<model>-<shots>` for every block with a number; `names` are how splits are printed."""
    blocks = list(found)
    stems = slugs([("ood", one.dataset, one.model, shots_label(one.shots)) for one in blocks])
    figures = {stem: draw(one, names) for stem, one in zip(stems, blocks, strict=True)}
    return Drawn(figures, {} if figures else {"bars by OOD set": "no repeat has finished yet"})


def draw(one: SplitBars, names: Mapping[str, str] = MappingProxyType({})) -> Figure:
    """A panel without and one with ensembling, 3.25 inches wide; bars have 95% Student-t intervals over seeds."""
    printed = {"id_test": "ID test", **names}
    labels = {bars.method: bars.label for side in one.sides.values() for bars in side}
    splits = one.splits[:MOST_SPLITS]
    metric = one.metric.replace("_", " ")
    with rc_context(STYLE):
        figure = new_figure(len(splits) * (_BAR * len(labels) + _GAP) + _REST + 0.15 * -(-len(labels) // 4))
        row = figure.subplots(1, len(one.sides), sharey=True, squeeze=False)[0]
        for axes, (side, bars) in zip(row, one.sides.items(), strict=True):
            axes.set_title(SIDE_LABELS[side], loc="left", fontsize=8)
            _draw_panel(axes, bars, splits, list(labels))
            axes.set_xlabel(f"{metric} (%)")
        row[0].set_yticks(range(len(splits)), [shortened(printed.get(name, name), _LONGEST) for name in splits])
        more = f", the first {len(splits)} of {len(one.splits)} splits" if len(one.splits) > len(splits) else ""
        add_title(figure, one.title + more)
        colours = _colours(labels)
        handles = [Patch(color=colours[name], label=literal(label)) for name, label in labels.items()]
        add_legend(figure, handles, labels.values(), handlelength=1.2)
        lay_out(figure)
    return figure


def _draw_panel(axes: Axes, bars: tuple[Bars, ...], splits: tuple[str, ...], methods: list[str]) -> None:
    height, colours = 0.8 / len(methods), _colours(methods)
    add_grid(axes, "x")
    axes.tick_params(axis="y", length=0)
    highest = max(100 * found.mean for own in bars for found in own.intervals.values())
    axes.set(xlim=(0, max(100, 1.05 * highest)), ylim=(len(splits) - 0.5, -0.5))  # the first split on top
    for own in bars:
        shift = (methods.index(own.method) - (len(methods) - 1) / 2) * height
        held = [(at, own.intervals[split]) for at, split in enumerate(splits) if split in own.intervals]
        places = [at + shift for at, _ in held]
        means = [100 * found.mean for _, found in held]
        axes.barh(places, means, height=0.9 * height, color=colours[own.method])
        able = [(place, found) for place, (_, found) in zip(places, held, strict=True) if found.n > 1]
        axes.errorbar(
            [100 * found.mean for _, found in able],
            [place for place, _ in able],
            xerr=[100 * found.half_width for _, found in able],
            fmt="none",
            ecolor="#333333",
            elinewidth=0.7,
        )


def _colours(methods: Iterable[str]) -> dict[str, str]:
    return colours_of(methods) | {ZEROSHOT: "#777777"}  # black bars would weigh too much
