"""How all figures look: one column of a paper wide, in colours that colour-blind readers can tell apart."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from flyp_sweep.results.files import write
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.search_spaces.cell import WITH

# Okabe and Ito, "Color universal design" (2008); methods beyond the paper's take Paul Tol's muted colours in turn.
COLOURS = {"lp": "#E69F00", "ft": "#0072B2", "l2sp": "#009E73", "lpft": "#CC79A7", "flyp": "#D55E00"}
OTHER_COLOURS = {
    "flyp_ce": "#332288",
    "flyp_frozen_text": "#56B4E9",
    "flyp_masked": "#882255",
    "flyp_plus_ce": "#999933",
}
_SPARE_COLOURS = ("#44AA99", "#AA4499", "#777777", "#117733")
_MARKERS = ("P", "s", "^", "v", "o", "X", "h", "<", ">")

STYLE: Any = {
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
    "pdf.fonttype": 42,  # fonts are embedded whole, as text that can be searched
    "svg.fonttype": "path",  # and letters are outlines in an SVG, which so looks the same where the font is absent
    "svg.hashsalt": "flyp-sweep",
}
TITLE, DENSE = "title", "dense"
"""Labels of artists: of the title of a figure, and of texts, or axes with tick labels, that must stay small to fit."""
PAPER_SIZE = 8.0  # points
WIDTH = 3.25  # inches: one column of a two-column paper
SUFFIXES: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
"""What a figure is written as, and what of its metadata would differ from time to time."""
GRID = "#DDDDDD"
ON_LIGHT, ON_DARK = "#111111", "#F8F8F8"
"""Text on cells whose colour shows a number: the same on light and on dark pages, which `modes` tells apart."""
_DPI = 300
_SHORT_NAME, _LONG_NAME = 8, 16  # characters
_SHADES = {
    "uniform_soup": ("black", 0.4),
    "greedy_soup": ("white", 0.4),
    "greedy_soup_strict": ("white", 0.55),
    "logit_ensemble": ("white", 0.7),
    "model_stock": ("black", 0.2),
    "dawin_outputs": ("white", 0.82),
}
_SPARE_SHADES = (("black", 0.6), ("white", 0.25))
"""What the colour of a method is mixed with for its ensembles, and how much of it is in there; other ensembles take the
spare ones in turn."""


@dataclass(frozen=True)
class Drawn:
    """Figures by the stem of their file, and why what has none (by its title) was skipped."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SavedFigures:
    """The files written, and why each skipped block (by its title) has none."""

    paths: tuple[Path, ...]
    skipped: Mapping[str, str]


def new_figure(height: float) -> Figure:
    """An empty figure of a column's width and `height` inches; to be called and drawn on under `rc_context(STYLE)`."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_title(figure: Figure, text: str) -> None:
    """The title of a whole figure, at its left edge, in the words of a user."""
    figure.suptitle(literal(text), x=0.01, ha="left", fontsize=8.5, label=TITLE)


def add_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Thin lines at the ticks, below what is drawn."""
    axes.grid(axis=axis, color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def add_legend(
    figure: Figure,
    handles: Sequence[Any],
    names: Iterable[str],
    loc: Literal["outside lower center", "outside upper center"] = "outside lower center",
    **look: Any,
) -> None:
    """The legend of a whole figure, below or above its panels, in as many columns as fit `names`."""
    figure.legend(
        handles=handles,
        loc=loc,
        ncols=legend_columns(names),
        frameon=False,
        columnspacing=1.2,
        **look,
    )


def for_paper(figure: Figure) -> Figure:
    """The figure as a paper takes it: without its title, and with no text below `PAPER_SIZE` points but the dense."""
    dense = [axes for axes in figure.axes if axes.get_label() == DENSE]
    crowded = {label for axes in dense for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    with rc_context(STYLE):
        for text in figure.findobj(Text):
            if isinstance(text, Text) and text not in crowded and text.get_label() != DENSE:
                text.set_fontsize(max(PAPER_SIZE, text.get_fontsize()))
                if text.get_label() == TITLE:
                    text.set_text("")
        for axes in figure.axes:
            if axes not in dense:
                axes.tick_params(labelsize=PAPER_SIZE)
        figure.set_layout_engine("constrained")
        lay_out(figure)
    return figure


def lay_out(figure: Figure) -> None:
    """Place all that has been drawn, once and for every format; to be called under `rc_context(STYLE)`."""
    with any_character():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def colours_of(methods: Iterable[str]) -> dict[str, str]:
    """A colour for every method, the same in all figures for those that are known; black for the zero-shot model."""
    colours = COLOURS | OTHER_COLOURS | {ZEROSHOT: "black"}
    spare = itertools.cycle(_SPARE_COLOURS)
    shades, spare_shades = dict(_SHADES), itertools.cycle(_SPARE_SHADES)
    own_colours = {}
    for method in methods:
        base, _, ensemble = method.partition(WITH)
        colours[base] = colours.get(base) or next(spare)
        if ensemble:
            shades[ensemble] = shades.get(ensemble) or next(spare_shades)
        own_colours[method] = _mixed(colours[base], *shades[ensemble]) if ensemble else colours[base]
    return own_colours


def method_colours() -> set[str]:
    """All colours that `colours_of` gives, as lower-case `#rrggbb`: of methods, and of these with ensembles."""
    plain = [*COLOURS.values(), *OTHER_COLOURS.values(), *_SPARE_COLOURS]
    shades = [*_SHADES.values(), *_SPARE_SHADES]
    return {one.lower() for one in plain} | {_mixed(one, *shade) for one in plain for shade in shades}


def _mixed(colour: str, other: str, share: float) -> str:
    """A colour with a `share` of another."""
    red, green, blue = (
        (1 - share) * own + share * theirs for own, theirs in zip(to_rgb(colour), to_rgb(other), strict=True)
    )
    return to_hex((red, green, blue))


def shapes_of(methods: Iterable[str]) -> dict[str, str]:
    """A marker for every method: lines are told apart without their colours, too. The zero-shot model has a diamond."""
    known = [*COLOURS, *OTHER_COLOURS]
    others = [method for method in methods if method not in (*known, ZEROSHOT)]
    return {method: _MARKERS[at % len(_MARKERS)] for at, method in enumerate([*known, *others])} | {ZEROSHOT: "D"}


def literal(name: str) -> str:
    """A name of the user as a figure shows it: dollar signs begin no formula."""
    return name.replace("$", r"\$")


def shortened(name: str, longest: int) -> str:
    """A name as a figure shows it, in at most `longest` characters."""
    return literal(name if len(name) <= longest else f"{name[: longest - 1]}…")


def legend_columns(labels: Iterable[str]) -> int:
    """How many columns of a legend fit a figure's width with these labels."""
    longest = max(map(len, labels), default=0)
    return 4 if longest <= _SHORT_NAME else 3 if longest <= _LONG_NAME else 2


def marker(shape: str, colour: str, size: float) -> dict[str, Any]:
    """Options of a marker that stands out from what lies below it."""
    white_edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    return {"marker": shape, "color": colour, "markersize": size, "linestyle": "none", **white_edge}


def line_handles(labels: Mapping[str, str]) -> list[Line2D]:
    """A line with its marker for the legend of each method; `labels` are by method, in the order of the figure."""
    colours, shapes = colours_of(labels), shapes_of(labels)
    return [
        Line2D([], [], **{**marker(shapes[name], colours[name], 4.5), "linestyle": "-"}, label=literal(label))
        for name, label in labels.items()
    ]


def save_all(drawn: Iterable[Drawn], folder: str | Path) -> SavedFigures:
    """Write every figure as PNG (300 dpi), SVG and PDF into `folder`. The same figures give the same bytes."""
    paths: list[Path] = []
    skipped: dict[str, str] = {}
    for one in drawn:
        for stem, figure in one.figures.items():
            paths += save(figure, Path(folder) / stem)
        skipped |= one.skipped
    return SavedFigures(tuple(paths), skipped)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `figure` as `<stem>` in every format of `SUFFIXES`, without dates, and return the paths."""
    paths = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    for path in paths:
        save_one(figure, path)
    return paths


def save_one(figure: Figure, path: Path) -> None:
    """Write `figure` in the format that the suffix of `path` names, one of `SUFFIXES`."""
    write(path, file_of(figure, path.suffix.lower()))


def file_of(figure: Figure, suffix: str) -> bytes:
    """The figure as a file of one of `SUFFIXES`, without dates; a PNG has 300 dpi."""
    buffer = io.BytesIO()
    with rc_context(STYLE), any_character():
        figure.savefig(buffer, format=suffix.removeprefix("."), dpi=_DPI, metadata=SUFFIXES[suffix])
    return buffer.getvalue()


@contextmanager
def any_character() -> Generator[None]:
    """Inside the block a character that the font lacks is a box, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield
