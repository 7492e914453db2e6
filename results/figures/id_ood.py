"""The ID-OOD frontier as a figure: Figure 2 of the paper, for any run."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke

from flyp_sweep.results.analysis.frontiers import (
    Curve,
    Frontier,
    Point,
    blocks_in,
    frontier_points,
    select_block,
    skip_reason,
)
from flyp_sweep.results.figures.style import (
    STYLE,
    TITLE,
    Drawn,
    SavedFigures,
    add_grid,
    add_legend,
    colours_of,
    lay_out,
    literal,
    marker,
    new_figure,
    save_all,
    shapes_of,
)
from flyp_sweep.results.naming import block_title, shots_label, slugs

_HEIGHT = 3.1  # inches
_WIDEST, _NARROWEST = 1.9, 1.1
"""Points: the first curve is the widest, so that it shows below one that runs along it."""
_BAND = 0.18
"""Opacity of the bands."""
_BAND_AT_MOST = 0.5
"""How far a band may widen the axes, as a part of what the curves span: with two or three seeds bands are huge."""

_LABEL = np.array([0.25, 0.1])
"""About how far the label of the diamond reaches from it, as parts of the axes."""
_SHAPES_SHOWN = 3
"""Markers of so many methods stand for all in the legend of alpha = 1."""

Array = npt.NDArray[np.float64]
Handle = Artist | tuple[Artist, ...]


def frontier(frame: pd.DataFrame, dataset: str, model: str, shots: int | None = None) -> Figure | None:
    """The ID-OOD frontier of one block of a tidy frame, or None when it has no finished repeat, ID test or OOD split.

    One curve per method (means over seeds, in percent) in the band of its 95% Student-t intervals, a star at the alpha
    chosen on id_val, a marker of the method at alpha = 1, a black diamond for the zero-shot model. Without the full
    alpha grid a dotted line joins diamond, star and marker, which have crosses for their intervals.
    """
    block = select_block(frame, dataset, model, shots)
    return None if skip_reason(block) else draw(frontier_points(block))


def draw_frontiers(frame: pd.DataFrame) -> Drawn:
    """`frontier-<dataset>-<model>-<shots>` for every block of a tidy frame; those without one with the reason."""
    figures: dict[tuple[str, ...], Figure] = {}
    skipped: dict[str, str] = {}
    for key in blocks_in(frame):
        figure = frontier(frame, *key)
        if figure is None:
            skipped[block_title(*key)] = skip_reason(select_block(frame, *key))
        else:
            dataset, model, shots = key
            figures["frontier", dataset, model, shots_label(shots)] = figure
    return Drawn(dict(zip(slugs(list(figures)), figures.values(), strict=True)), skipped)


def save_frontiers(frame: pd.DataFrame, folder: str | Path) -> SavedFigures:
    """Write the frontier of every block as PNG (300 dpi), SVG and PDF into `folder`; see `draw_frontiers`."""
    return save_all([draw_frontiers(frame)], folder)


def draw(points: Frontier) -> Figure:
    """The figure of one frontier, 3.25 x 3.1 inches."""
    with rc_context(STYLE):
        figure = new_figure(_HEIGHT)
        axes = figure.add_subplot()
        add_grid(axes)
        axes.margins(0.09)
        methods = [curve.method for curve in points.curves]
        colours, shapes = colours_of(methods), shapes_of(methods)
        widths = np.linspace(_WIDEST, _NARROWEST, max(2, len(points.curves)))
        for curve, width in zip(points.curves, widths, strict=False):
            _draw_curve(axes, curve, colours[curve.method], shapes[curve.method], float(width), points.zeroshot)
        if points.zeroshot:
            axes.plot(*points.zeroshot, **marker("D", "black", 5.5), zorder=5)
        _draw_bands(axes, points, colours)
        if points.zeroshot:
            _label_zeroshot(axes, points.zeroshot, points)
        axes.set_xlabel(points.id_label)
        axes.set_ylabel(points.ood_label)
        axes.set_title(literal(block_title(points.dataset, points.model, points.shots)), loc="left").set_label(TITLE)
        if points.curves:
            _add_legend(figure, points, colours, shapes)
        lay_out(figure)
    return figure


def _draw_curve(axes: Axes, curve: Curve, colour: str, shape: str, width: float, zeroshot: Point | None) -> None:
    if curve.is_full:
        xy = curve.points["id"], curve.points["ood"]
        axes.plot(*xy, color=colour, linewidth=width, solid_capstyle="round")
        axes.plot(*xy, **_tick(colour), zorder=2.5)
    elif ends := [point for point in (zeroshot, curve.chosen, curve.finetuned) if point]:
        axes.plot(*zip(*ends, strict=True), color=colour, linewidth=1.1, linestyle=":")  # nothing measured in between
    if curve.chosen:
        axes.plot(*curve.chosen, **_star(colour, 11), zorder=4.5)  # hollow: it may lie on other marks
    if curve.finetuned:
        axes.plot(*curve.finetuned, **marker(shape, colour, 4.3), zorder=4)


def _tick(colour: str) -> dict[str, Any]:
    """A dot on a curve, at each alpha that was evaluated."""
    return {"marker": "o", "markersize": 2.2, "linestyle": "none", "color": colour, "markerfacecolor": "white"} | {
        "markeredgewidth": 0.7
    }


def _star(colour: str, size: float) -> dict[str, Any]:
    """The outline of a star, with a white rim."""
    rim = withStroke(linewidth=2.2, foreground="white")
    return {"marker": "*", "linestyle": "none", "markersize": size, "color": colour, "markerfacecolor": "none"} | {
        "markeredgewidth": 1.0,
        "path_effects": [rim],
    }


def _draw_bands(axes: Axes, points: Frontier, colours: dict[str, str]) -> None:
    """The intervals over seeds: a band along a full curve, a cross at single points.

    Bands widen the axes by a part of what the curves span and are cut there.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    reaches = [(left, right, bottom, top)]
    for curve in points.curves:
        if curve.is_full and curve.has_reach:
            outline = band(curve)
            patch = PathPatch(outline, facecolor=colours[curve.method], edgecolor="none", alpha=_BAND, zorder=1)
            axes.add_artist(patch)
            reaches.append(_extent(np.asarray(outline.vertices)))
        elif not curve.is_full:
            ends = [(one, reach) for one, reach in curve.ends if one and reach]
            for (x, y), (dx, dy) in ends:
                axes.errorbar(x, y, dy, dx, fmt="none", ecolor=colours[curve.method], elinewidth=0.6, alpha=0.45)
                reaches.append((x - dx, x + dx, y - dy, y + dy))
    width, height = _BAND_AT_MOST * (right - left), _BAND_AT_MOST * (top - bottom)
    lows, highs = np.min(reaches, axis=0), np.max(reaches, axis=0)
    axes.set_xlim(max(lows[0], left - width), min(highs[1], right + width))
    axes.set_ylim(max(lows[2], bottom - height), min(highs[3], top + height))


def band(curve: Curve) -> Outline:
    """The band of a full curve with intervals: what an ellipse sweeps over as alpha goes along the curve.

    At every alpha the ellipse is as wide as the interval of ID and as high as that of OOD; the outline is the union of
    the convex hulls of neighbouring ellipses (all of one orientation, which a nonzero winding rule fills as one).
    """
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    centres, reach = curve.points.to_numpy(dtype=float), curve.reach.to_numpy(dtype=float)
    ellipses = centres[:, None] + reach[:, None] * circle
    parts = [_hull(np.concatenate(pair)) for pair in itertools.pairwise(ellipses)]
    return Outline.make_compound_path(*(Outline(part, closed=True) for part in parts))


def _hull(corners: Array) -> Array:
    """The convex hull, anticlockwise, its first corner again at the end (Andrew's monotone chain).

    Corners on one line, as of cells whose seeds all agree, make a hull without area.
    """
    ordered = [(float(x), float(y)) for x, y in np.unique(corners, axis=0)]
    chains = [_lower_chain(ordered), _lower_chain(ordered[::-1])]
    found = chains[0][:-1] + chains[1][:-1] or ordered
    return np.array([*found, found[0]])


def _lower_chain(ordered: list[Point]) -> list[Point]:
    chain: list[Point] = []
    for x, y in ordered:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def _extent(corners: Array) -> tuple[float, float, float, float]:
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(right), float(bottom), float(top)


def _label_zeroshot(axes: Axes, zeroshot: Point, points: Frontier) -> None:
    """The words beside the diamond, at the corner where the fewest points of curves lie: to be called at the end."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    lines = np.concatenate([_all_points(curve, zeroshot) for curve in points.curves] or [np.array([zeroshot])])
    place, others = ((np.asarray(xy) - low) / (high - low) for xy in (zeroshot, lines))

    def crowd(side: tuple[int, int]) -> tuple[bool, int]:
        """Whether the label would leave the axes to this side of the diamond, and how many points it would hide."""
        away = np.array(side) * (others - place)
        hidden = np.all((away >= 0) & (away <= _LABEL), axis=1)
        return bool(np.any(np.abs(place + np.array(side) * _LABEL - 0.5) > 0.5)), int(hidden.sum())

    x, y = min(((1, 1), (1, -1), (-1, 1), (-1, -1)), key=crowd)
    horizontal, vertical = "left" if x > 0 else "right", "bottom" if y > 0 else "top"
    offset = (5.0 * x, 4.0 * y)
    axes.annotate("zero-shot", zeroshot, offset, textcoords="offset points", ha=horizontal, va=vertical, fontsize=7)


def _all_points(curve: Curve, zeroshot: Point | None) -> Array:
    """What is drawn of a curve, as points close to each other."""
    ends = [point for point in (curve.chosen, curve.finetuned) if point is not None]
    if not curve.is_full and zeroshot:
        ends = [zeroshot, *ends]
    full = curve.points.to_numpy(dtype=float) if curve.is_full else np.empty((0, 2))
    corners = np.concatenate([full, np.array(ends, dtype=float).reshape(-1, 2)])
    along = np.linspace(0, len(corners) - 1, 20 * len(corners))  # the lines between the corners count too
    return np.stack([np.interp(along, np.arange(len(corners)), axis) for axis in corners.T], axis=1)


def _add_legend(figure: Figure, points: Frontier, colours: dict[str, str], shapes: dict[str, str]) -> None:
    handles = _handles(points, colours, shapes)
    add_legend(
        figure,
        handles,
        [curve.label for curve in points.curves],
        "outside upper center",
        labels=["$\\alpha$ = 1" if isinstance(one, tuple) else str(one.get_label()) for one in handles],
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.1)},
        handlelength=1.8,
    )


def _handles(points: Frontier, colours: dict[str, str], shapes: dict[str, str]) -> list[Handle]:
    """A handle per method and per mark; what stands at alpha = 1 has a marker of each of some methods, as a tuple."""
    methods = [curve.method for curve in points.curves]
    line = {"linestyle": "-", "linewidth": 1.3}
    lines: list[Handle] = [
        Line2D([], [], **marker(shapes[one.method], colours[one.method], 5) | line, label=literal(one.label))
        for one in points.curves
    ]
    marks: list[Handle] = []
    if any(curve.chosen for curve in points.curves):
        marks.append(Line2D([], [], **_star("#555555", 8), label="chosen $\\alpha$"))
    if any(curve.finetuned for curve in points.curves):
        some = [Line2D([], [], **marker(shapes[name], "#555555", 4.5)) for name in methods[-_SHAPES_SHOWN:]]
        marks.append(tuple(some))
    if any(curve.is_full for curve in points.curves):
        marks.append(Line2D([], [], **_tick("#555555"), label="each $\\alpha$"))
    if any(curve.has_reach for curve in points.curves):
        label = "95% interval"
        crosses = Line2D([], [], marker="+", linestyle="none", color="#555555", markersize=8, label=label)
        bands = Patch(color="#555555", alpha=_BAND, linewidth=0, label=label)
        marks.append(bands if any(curve.is_full for curve in points.curves) else crosses)
    return lines + marks
