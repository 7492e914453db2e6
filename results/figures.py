"""The ID-OOD frontier as a figure: Figure 2 of the paper, for any run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.frontiers import Curve, Frontier, blocks_of, frontier_points, select_block, skip_reason
from results.naming import block_title, method_label, shots_label, slug

# Okabe and Ito, "Color universal design" (2008); methods beyond the paper's take Paul Tol's muted colours in turn.
COLOURS = {"lp": "#E69F00", "ft": "#0072B2", "l2sp": "#009E73", "lpft": "#CC79A7", "flyp": "#D55E00"}
OTHER_COLOURS = {
    "flyp_ce": "#332288",
    "flyp_frozen_text": "#56B4E9",
    "flyp_masked": "#882255",
    "flyp_plus_ce": "#999933",
}
_SPARE_COLOURS = ("#44AA99", "#AA4499", "#777777", "#117733")

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
}
_WIDTH, _HEIGHT = 3.4, 3.1  # inches: one column of a two-column paper
_DPI = 200


@dataclass(frozen=True)
class SavedFigures:
    """The files written, and why each skipped block (by its title) has none."""

    paths: tuple[Path, ...]
    skipped: dict[str, str]


def frontier(frame: pd.DataFrame, dataset: str, model: str, shots: int | None = None) -> Figure | None:
    """The ID-OOD frontier of one block of a tidy frame, or None when it has no finished repeat, ID test or OOD split.

    One curve per method (means over seeds, in percent), a star at the alpha chosen on id_val, a dot at alpha = 1, a
    black diamond for the zero-shot model. Without the full alpha grid a dotted line joins star and dot.
    """
    block = select_block(frame, dataset, model, shots)
    return None if skip_reason(block) else draw(frontier_points(block))


def save_frontiers(frame: pd.DataFrame, folder: str | Path) -> SavedFigures:
    """Write `frontier-<dataset>-<model>-<shots>.png` (200 dpi) and `.pdf` for every block into `folder`.

    The same frame gives the same bytes. Blocks without a frontier are named with the reason.
    """
    folder = Path(folder)
    paths: list[Path] = []
    skipped: dict[str, str] = {}
    for key in blocks_of(frame):
        figure = frontier(frame, *key)
        if figure is None:
            skipped[block_title(*key)] = skip_reason(select_block(frame, *key))
        else:
            dataset, model, shots = key
            paths += save(figure, folder / slug("frontier", dataset, model, shots_label(shots)))
    return SavedFigures(tuple(paths), skipped)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `figure` as `<stem>.png` and `<stem>.pdf`, without dates, and return the two paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, pdf = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".pdf")
    with rc_context(_STYLE):
        figure.savefig(png, dpi=_DPI, metadata={"Software": None})
        figure.savefig(pdf, metadata={"CreationDate": None})
    return [png, pdf]


def draw(points: Frontier) -> Figure:
    """The figure of one frontier, 3.4 x 3.1 inches."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.grid(color="#DDDDDD", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.margins(0.09)
        colours = _colours([curve.method for curve in points.curves])
        for curve in points.curves:
            _draw_curve(axes, curve, colours[curve.method])
        _draw_zeroshot(axes, points)
        axes.set_xlabel(points.id_label)
        axes.set_ylabel(points.ood_label)
        axes.set_title(block_title(points.dataset, points.model, points.shots), loc="left")
        handles = _legend(points, colours)
        figure.legend(
            handles=handles, loc="outside upper center", ncols=4, frameon=False, columnspacing=1.2, handlelength=1.6
        )
        figure.draw_without_rendering()
    return figure


def _colours(methods: list[str]) -> dict[str, str]:
    fixed = COLOURS | OTHER_COLOURS
    spare = itertools.cycle(_SPARE_COLOURS)
    return {method: fixed[method] if method in fixed else next(spare) for method in methods}


def _draw_curve(axes: Axes, curve: Curve, colour: str) -> None:
    if len(curve.points) > 2:
        axes.plot(curve.points["id"], curve.points["ood"], color=colour, linewidth=1.3, solid_capstyle="round")
    elif curve.finetuned and curve.chosen:
        axes.plot(*zip(curve.finetuned, curve.chosen, strict=True), color=colour, linewidth=0.9, linestyle=":")
    if curve.finetuned:
        axes.plot(*curve.finetuned, **_marker("o", colour, 5.0))
    if curve.chosen:
        axes.plot(*curve.chosen, **_marker("*", colour, 10.5), zorder=4)


def _marker(shape: str, colour: str, size: float) -> dict[str, Any]:
    white_edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    return {"marker": shape, "color": colour, "markersize": size, "linestyle": "none", **white_edge}


def _draw_zeroshot(axes: Axes, points: Frontier) -> None:
    if points.zeroshot is None:
        return
    axes.plot(*points.zeroshot, **_marker("D", "black", 5.5), zorder=5)
    dx, dy, horizontal, vertical = _free_side(points)
    axes.annotate(
        "zero-shot", points.zeroshot, (dx, dy), textcoords="offset points", ha=horizontal, va=vertical, fontsize=7
    )


def _free_side(points: Frontier) -> tuple[float, float, str, str]:
    """Offset (points) and alignment of the zero-shot label: the right-hand side unless curves run there.

    The diamond stands at an end of every curve, in most runs the left one. The label goes to the side of the axes'
    middle, above or below, wherever fewer points of the curves lie within its reach.
    """
    xy = np.concatenate([_all_points(curve) for curve in points.curves] + [np.array([points.zeroshot])])
    span = np.ptp(xy, axis=0)
    x, y = ((xy - xy.min(axis=0)) / np.where(span > 0, span, 1.0)).T
    right = x[-1] <= 0.5
    reach = (x >= x[-1]) & (x <= x[-1] + 0.3) if right else (x <= x[-1]) & (x >= x[-1] - 0.3)
    above = np.sum(reach & (y > y[-1])) <= np.sum(reach & (y < y[-1]))
    return (5 if right else -5, 4 if above else -4, "left" if right else "right", "bottom" if above else "top")


def _all_points(curve: Curve) -> np.ndarray:
    ends = [point for point in (curve.chosen, curve.finetuned) if point is not None]
    corners = np.concatenate([curve.points.to_numpy(dtype=float), np.array(ends, dtype=float).reshape(-1, 2)])
    along = np.linspace(0, len(corners) - 1, 20 * len(corners))  # the lines between the corners count too
    return np.stack([np.interp(along, np.arange(len(corners)), axis) for axis in corners.T], axis=1)


def _legend(points: Frontier, colours: dict[str, str]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=colours[c.method], linewidth=2.0, label=method_label(c.method)) for c in points.curves
    ]
    marks = []
    if any(curve.chosen for curve in points.curves):
        marks.append(Line2D([], [], **_marker("*", "#555555", 9), label="chosen $\\alpha$"))
    if any(curve.finetuned for curve in points.curves):
        marks.append(Line2D([], [], **_marker("o", "#555555", 5), label="$\\alpha$ = 1"))
    return lines + marks
