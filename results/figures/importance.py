"""The importance of hyper-parameters as a figure: a bar for each, methods one below the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from flyp_sweep.results.analysis.importances import Importance
from flyp_sweep.results.figures.style import STYLE, Drawn, add_title, colours_of, lay_out, literal, new_figure
from flyp_sweep.results.naming import block_order, block_title, method_order, shots_label, slugs

_BAR_HEIGHT, _REST_HEIGHT = 0.16, 0.75  # inches


def draw_importance(importances: Iterable[Importance]) -> Drawn:
    """`importance-<dataset>-<model>-<shots>` for every block with a search that importances could be computed of."""
    figures: dict[tuple[str, ...], Figure] = {}
    skipped: dict[str, str] = {}
    ordered = sorted(importances, key=lambda one: (block_order(one.cell), method_order(one.cell.method)))
    for _, group in itertools.groupby(ordered, key=lambda one: block_order(one.cell)):
        own = list(group)
        cell = own[0].cell
        title = block_title(cell.dataset, cell.model, cell.shots)
        if lacking := [f"{one.label}: {one.reason}" for one in own if one.reason]:
            skipped[f"{title}, importance"] = "; ".join(lacking)
        if able := [one for one in own if one.shares]:
            figures["importance", cell.dataset, cell.model, shots_label(cell.shots)] = draw(able, title)
    return Drawn(dict(zip(slugs(list(figures)), figures.values(), strict=True)), skipped)


def draw(importances: Sequence[Importance], title: str) -> Figure:
    """The figure of one block, 3.25 inches wide; each method's bars have its colour, and add up to 100%."""
    bars = [(one, name, share) for one in importances for name, share in one.shares.items()]
    places = [at + 0.6 * place for place, one in enumerate(importances) for at in _bars_of(bars, one)]
    colours = colours_of([one.cell.method for one in importances])
    with rc_context(STYLE):
        figure = new_figure(_BAR_HEIGHT * (len(bars) + 0.6 * len(importances)) + _REST_HEIGHT)
        axes = figure.subplots()
        axes.barh(places, [100 * share for *_, share in bars], color=[colours[one.cell.method] for one, *_ in bars])
        for place, (*_, share) in zip(places, bars, strict=True):
            axes.annotate(f"{100 * share:.0f}", (100 * share, place), (2, 0), textcoords="offset points", va="center")
        names = [literal(f"{one.label}: {name.replace('_', ' ')}") for one, name, _ in bars]
        axes.set(yticks=places, yticklabels=names, xlim=(0, 112), xticks=[0, 25, 50, 75, 100])
        axes.set_ylim(places[-1] + 0.8, places[0] - 0.8)  # the first bar on top
        axes.set_xlabel("explained variance (%)")
        add_title(figure, title)
        lay_out(figure)
    return figure


def _bars_of(bars: Sequence[tuple[Importance, str, float]], one: Importance) -> list[int]:
    return [at for at, (other, *_) in enumerate(bars) if other is one]
