"""The scores of the search over the hyper-parameters: was the range wide enough, and where did the winner lie?

Only scores are drawn, which are of id_val: whoever widens a range after this figure has seen no test or OOD number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from flyp_sweep.results.analysis.searches import CellSearch, ScoredConfig
from flyp_sweep.results.figures.style import (
    DENSE,
    ON_DARK,
    ON_LIGHT,
    STYLE,
    Drawn,
    add_title,
    colours_of,
    lay_out,
    literal,
    marker,
    new_figure,
)
from flyp_sweep.results.naming import block_order, block_title, method_order, shots_label, slugs
from flyp_sweep.search_spaces.distributions import Choice, Distribution, IntRange, LogUniform, Uniform, is_number

_ROW_HEIGHT, _REST_HEIGHT = 1.5, 0.85  # inches
_PANELS_PER_ROW = 2
_FIRST = ("lr", "weight_decay")
_LOG_FROM = 20.0
"""A list of positive numbers that spans this factor stands on a log axis."""
_TEXT_COLUMNS, _MOST_CELLS = 6, 12
"""Heat maps of more columns hold no digits; of more values they are scatter plots."""
_COLOURS = "viridis"
_SELECTED = "black"
_HALO = withStroke(linewidth=3.0, foreground="white")
"""Under what is black: it must stand out from dark colours, too."""


@dataclass(frozen=True)
class Axis:
    """One hyper-parameter: its values in order (of a list) or its ends (of a continuous range), and its scale.

    `reach` is how far a continuous axis goes: to values that were tried beyond the range, too.
    """

    name: str
    values: tuple[Any, ...]
    is_list: bool
    is_log: bool
    reach: tuple[float, ...] = ()


@dataclass(frozen=True)
class Facet:
    """One panel: the scores of a search over one hyper-parameter, or over two."""

    search: CellSearch
    x: Axis
    y: Axis | None = None


def draw_sensitivity(searches: Iterable[CellSearch]) -> Drawn:
    """`sensitivity-<dataset>-<model>-<shots>` for every block in which something was searched."""
    figures: dict[tuple[str, ...], Figure] = {}
    skipped: dict[str, str] = {}
    ordered = sorted(searches, key=lambda one: (block_order(one.cell), method_order(one.cell.method)))
    for _, group in itertools.groupby(ordered, key=lambda one: block_order(one.cell)):
        own = list(group)
        cell = own[0].cell
        facets = [facet for search in own for facet in facets_of(search)]
        title = block_title(cell.dataset, cell.model, cell.shots)
        if facets:
            figures["sensitivity", cell.dataset, cell.model, shots_label(cell.shots)] = draw(facets, title)
        else:
            skipped[f"{title}, sensitivity"] = "no search tried two values of a hyper-parameter and has scores"
    return Drawn(dict(zip(slugs(list(figures)), figures.values(), strict=True)), skipped)


def facets_of(search: CellSearch) -> list[Facet]:
    """The panels of one search: its first two hyper-parameters together (lr and weight decay first), others alone.

    Hyper-parameters of which one value was tried have no axis.
    """
    if not any(one.score is not None for one in search.tried):
        return []
    axes = [axis for name in search.ranges if (axis := axis_of(name, search)) is not None]
    axes.sort(key=lambda axis: _FIRST.index(axis.name) if axis.name in _FIRST else len(_FIRST))
    if len(axes) < 2:
        return [Facet(search, axis) for axis in axes]
    return [Facet(search, axes[0], axes[1]), *(Facet(search, axis) for axis in axes[2:])]


def axis_of(name: str, search: CellSearch) -> Axis | None:
    """The axis of a hyper-parameter, None where a single value was tried."""
    tried = {one.hparams[name] for one in search.tried if name in one.hparams}
    distribution: Distribution = search.ranges[name]
    if len(tried) < 2:
        return None
    match distribution:
        case LogUniform() | Uniform() if all(map(is_number, tried)):
            return _continuous(name, distribution, tried)
        case IntRange() if distribution.count > _MOST_CELLS and all(map(is_number, tried)):
            return _continuous(name, distribution, tried)
    values = set(distribution.values()) if isinstance(distribution, Choice | IntRange) else set()
    try:
        ordered = sorted(values | tried)
    except TypeError:  # numbers among texts: by their text
        return Axis(name, tuple(sorted(values | tried, key=str)), is_list=True, is_log=False)
    numbers = list(filter(is_number, ordered))
    is_numeric = len(numbers) == len(ordered)
    is_log = is_numeric and numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_FROM
    if is_numeric and len(numbers) > _MOST_CELLS:
        ends = (numbers[0], numbers[-1])
        return Axis(name, ends, is_list=False, is_log=is_log, reach=ends)
    return Axis(name, tuple(ordered), is_list=True, is_log=is_log)


def _continuous(name: str, distribution: LogUniform | Uniform | IntRange, tried: set[Any]) -> Axis:
    ends = (distribution.low, distribution.high)
    reach = (min(*ends, *tried), max(*ends, *tried))
    is_log = isinstance(distribution, LogUniform) and reach[0] > 0
    return Axis(name, ends, is_list=False, is_log=is_log, reach=reach)


def draw(facets: Sequence[Facet], title: str) -> Figure:
    """The figure of one block, 3.25 inches wide: two panels in a row, one colour scale for all."""
    rows = math.ceil(len(facets) / _PANELS_PER_ROW)
    coloured = [facet for facet in facets if facet.y] or facets
    scores = [100 * one.score for facet in coloured for one in facet.search.tried if one.score is not None]
    norm = Normalize(float(np.percentile(scores, 5)), max(scores))
    metric = facets[0].search.metric.replace("_", " ") or "score"
    with rc_context(STYLE | {"axes.titlesize": 7.5, "axes.labelsize": 7, "xtick.labelsize": 6, "ytick.labelsize": 6}):
        figure = new_figure(_ROW_HEIGHT * rows + _REST_HEIGHT)
        grid = figure.subplots(rows, min(_PANELS_PER_ROW, len(facets)), squeeze=False)
        for axes, facet in itertools.zip_longest(grid.flat, facets):
            if facet is None:
                axes.remove()
            else:
                _draw_facet(axes, facet, norm, metric)
        add_title(figure, title)
        if any(facet.y for facet in facets):
            bar = figure.colorbar(
                ScalarMappable(norm, _COLOURS),
                ax=grid.ravel().tolist()[: len(facets)],
                location="bottom",
                aspect=40,
                extend="min",
                pad=0.02,
            )
            bar.set_label(f"id_val {metric} (%)", fontsize=7)
            bar.outline.set_linewidth(0.4)
        figure.legend(handles=_legend(facets), loc="outside lower center", ncols=3, frameon=False, fontsize=6.5)
        lay_out(figure)
    return figure


def _draw_facet(axes: Axes, facet: Facet, norm: Normalize, metric: str) -> None:
    axes.set_title(literal(facet.search.label), loc="left")
    axes.set_xlabel(facet.x.name.replace("_", " "))
    if facet.y is None:
        _draw_scores(axes, facet, metric)
    elif _is_map(facet):
        _draw_map(axes, facet, norm)
    else:
        _draw_scatter(axes, facet, norm)


def _is_map(facet: Facet) -> bool:
    """Whether both axes are lists, short enough for a cell per pair."""
    sides = [facet.x, facet.y]
    return all(side is not None and side.is_list and len(side.values) <= _MOST_CELLS for side in sides)


def _draw_map(axes: Axes, facet: Facet, norm: Normalize) -> None:
    """A cell per pair of values: its best score over what else was searched, in digits where there is room."""
    assert facet.y is not None
    best = np.full((len(facet.y.values), len(facet.x.values)), np.nan)
    for one in facet.search.tried:
        at = facet.y.values.index(one.hparams[facet.y.name]), facet.x.values.index(one.hparams[facet.x.name])
        if one.score is not None:
            best[at] = np.fmax(best[at], 100 * one.score)
    axes.imshow(best, norm=norm, cmap=_COLOURS, aspect="auto", origin="lower")
    axes.grid(visible=False)
    if len(facet.x.values) <= _TEXT_COLUMNS:
        for (row, column), value in np.ndenumerate(best):
            dark = np.isfinite(value) and norm(value) < 0.6
            text = "-" if np.isnan(value) else f"{value:.1f}"
            colour = ON_DARK if dark else ON_LIGHT
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=colour, label=DENSE)
    _list_ticks(axes, facet.x, "x")
    _list_ticks(axes, facet.y, "y")
    axes.set_ylabel(facet.y.name.replace("_", " "))
    winner = facet.search.winner
    if winner is not None:
        column = facet.x.values.index(winner.hparams[facet.x.name])
        row = facet.y.values.index(winner.hparams[facet.y.name])
        axes.add_patch(_frame(column, row))


def _frame(column: int, row: int) -> Rectangle:
    frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=_SELECTED, linewidth=1.8, clip_on=False)
    frame.set_path_effects([_HALO])
    return frame


def _draw_scatter(axes: Axes, facet: Facet, norm: Normalize) -> None:
    """A dot per configuration, coloured by its score; dotted lines are the ends of continuous ranges."""
    assert facet.y is not None
    able = sorted((one for one in facet.search.tried if one.score is not None), key=lambda one: one.score or 0.0)
    xs, ys = [_at(one, facet.x) for one in able], [_at(one, facet.y) for one in able]
    colours = [100 * (one.score or 0.0) for one in able]
    axes.scatter(xs, ys, c=colours, norm=norm, cmap=_COLOURS, s=17, linewidths=0.3, edgecolors="#333333", zorder=3)
    lost = [one for one in facet.search.tried if one.score is None]
    axes.plot([_at(one, facet.x) for one in lost], [_at(one, facet.y) for one in lost], **_cross())
    winner = facet.search.winner
    if winner is not None:
        axes.plot(_at(winner, facet.x), _at(winner, facet.y), **_ring())
    _scale(axes, facet.x, "x")
    _scale(axes, facet.y, "y")
    axes.set_ylabel(facet.y.name.replace("_", " "))


def _draw_scores(axes: Axes, facet: Facet, metric: str) -> None:
    """The score against one hyper-parameter: a dot per trial, larger ones for the means over seeds.

    A line joins them where nothing else was searched that could have moved them.
    """
    colour = colours_of([facet.search.cell.method])[facet.search.cell.method]
    able = sorted((one for one in facet.search.tried if one.score is not None), key=lambda one: _at(one, facet.x))
    dots = [(_at(one, facet.x), 100 * score) for one in able for score in one.scores]
    means = [(_at(one, facet.x), 100 * (one.score or 0.0)) for one in able]
    several = len(dots) > len(means)
    if several:
        axes.plot(*zip(*dots, strict=True), **{**marker("o", colour, 2.4), "markeredgewidth": 0}, alpha=0.4)
    is_line = len([name for name in facet.search.ranges if axis_of(name, facet.search)]) == 1
    axes.plot(*zip(*means, strict=True), **{**marker("o", colour, 3.6), **({"linestyle": "-"} if is_line else {})})
    winner = facet.search.winner
    if winner is not None and winner.score is not None:
        axes.plot(_at(winner, facet.x), 100 * winner.score, **_ring())
    axes.set_ylabel(f"id_val {metric} (%)")
    _scale(axes, facet.x, "x")


def _at(one: ScoredConfig, axis: Axis) -> float:
    """Where a configuration stands on an axis: its value, or of a list that is no log axis its place in it."""
    value = one.hparams[axis.name]
    return float(value) if _is_metric(axis) else float(axis.values.index(value))


def _is_metric(axis: Axis) -> bool:
    return axis.is_log or not axis.is_list


def _scale(axes: Axes, axis: Axis, which: str) -> None:
    if not _is_metric(axis):
        _list_ticks(axes, axis, which)
        axes.set(**{f"{which}lim": (-0.5, len(axis.values) - 0.5)})
        return
    if axis.is_log:
        axes.set(**{f"{which}scale": "log"})
    if axis.is_list:
        return
    line = axes.axvline if which == "x" else axes.axhline
    for end in axis.values:
        line(end, color="#888888", linewidth=0.8, linestyle=":", zorder=1)
    low, high = (math.log10(end) if axis.is_log else end for end in axis.reach)
    pad = 0.06 * (high - low)
    ends = (low - pad, high + pad)
    axes.set(**{f"{which}lim": [10**end for end in ends] if axis.is_log else ends})
    if axis.is_log:
        getattr(axes, f"{which}axis").set_minor_locator(NullLocator())
        _log_ticks(axes, low, high, which)


def _log_ticks(axes: Axes, low: float, high: float, which: str) -> None:
    """Ticks at powers of ten, and at both ends where the range holds fewer than two of these."""
    powers = [10.0**power for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    powers = powers[:: max(1, math.ceil(len(powers) / 3))]
    if len(powers) < 2:
        powers = [10**low, 10**high]
    axes.set(**{f"{which}ticks": powers, f"{which}ticklabels": [_short(power) for power in powers]})


def _list_ticks(axes: Axes, axis: Axis, which: str) -> None:
    labels = [_short(value) for value in axis.values]
    axes.set(**{f"{which}ticks": range(len(labels)), f"{which}ticklabels": labels})
    if which == "x" and sum(map(len, labels)) > 18:
        axes.tick_params(axis="x", rotation=90)


def _short(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return literal(str(value))
    text = f"{value:.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e+")


def _ring() -> dict[str, Any]:
    return {"marker": "o", "linestyle": "none", "markersize": 8, "markerfacecolor": "none", "zorder": 4} | {
        "clip_on": False,
        "markeredgecolor": _SELECTED,
        "markeredgewidth": 1.4,
        "path_effects": [_HALO],
    }


def _cross() -> dict[str, Any]:
    return {"marker": "x", "linestyle": "none", "markersize": 4, "color": "#777777", "zorder": 3}


def _legend(facets: Sequence[Facet]) -> list[Line2D]:
    tried = [one for facet in facets for one in facet.search.tried]
    marks = []
    if any(facet.search.winner for facet in facets):
        marks.append(Line2D([], [], **{**_ring(), "markersize": 6}, label="selected"))
    if any(one.score is None for one in tried):
        marks.append(Line2D([], [], **_cross(), label="a trial failed"))
    if any(axis and not axis.is_list for facet in facets for axis in (facet.x, facet.y)):
        marks.append(Line2D([], [], color="#888888", linewidth=0.8, linestyle=":", label="ends of the range"))
    return marks
