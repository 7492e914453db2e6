"""Winners on the edge of what was searched: where a wider range may hold a better configuration.

Selection saw scores on id_val alone, and so does this: it looks at the selected values and the ranges, at no number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from flyp_sweep.results.analysis.searches import CellSearch
from flyp_sweep.results.naming import shots_label
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import Choice, Distribution, IntRange, LogUniform, Uniform, is_number

RangeEnd = Literal["lower", "upper"]

NEAR = 0.05
"""The part of a continuous range, on its own scale, at either end of which a winner counts as on the edge."""

_FEWEST_VALUES = 3
_NAMED_AT_MOST = 8


@dataclass(frozen=True)
class Edge:
    """A selected value at an end of its range, which went from `low` to `high`."""

    cell: Cell
    label: str
    hparam: str
    value: float
    side: RangeEnd
    low: float
    high: float


def edges_of(searches: Iterable[CellSearch]) -> list[Edge]:
    """The winners' values that lie on the edge of a searched range.

    Of a list or a range of whole numbers that is the first or last of at least three numbers in their order, of a
    continuous range its outer 5% on either side, on a log scale where it is log-uniform. A lower end of 0 is none: that
    is where a strength or a rate ends, not where the search did. A value of `search.first` beyond a range lies on the
    edge next to it.
    """
    return [
        Edge(search.cell, search.label, name, float(value), side, low, high)
        for search in searches
        if search.winner is not None
        for name, value in search.winner.hparams.items()
        if is_number(value) and name in search.ranges and (bounds := _bounds(search.ranges[name])) is not None
        for low, high in [bounds]
        if (side := _side(float(value), low, high, search.ranges[name])) is not None
    ]


def edge_lines(edges: Iterable[Edge]) -> list[str]:
    """A line for every hyper-parameter, range and side, naming the cells of which it is true and their values."""
    groups: dict[tuple[str, RangeEnd, float, float], list[Edge]] = {}
    for edge in edges:
        groups.setdefault((edge.hparam, edge.side, edge.low, edge.high), []).append(edge)
    return [
        f"the selected {name} lies on the {side} edge of what was searched ({low:g} to {high:g}) for {_cells(held)}; "
        f"a wider range may hold a better one"
        for (name, side, low, high), held in groups.items()
    ]


def _cells(edges: list[Edge]) -> str:
    named = [f"{_cell(edge)}: {edge.value:.3g}" for edge in edges[:_NAMED_AT_MOST]]
    more = len(edges) - _NAMED_AT_MOST
    return ", ".join(named) + (f" and {more} more cells" if more > 0 else "")


def _cell(edge: Edge) -> str:
    shots = "" if edge.cell.shots is None else f" {shots_label(edge.cell.shots)}"
    return f"{edge.label} ({edge.cell.dataset}{shots})"


def _bounds(distribution: Distribution) -> tuple[float, float] | None:
    """The ends of a range that has an order and something between its ends."""
    match distribution:
        case Uniform() | LogUniform():
            return distribution.low, distribution.high
        case IntRange() if distribution.count >= _FEWEST_VALUES:
            return distribution.low, distribution.high
        case Choice() if distribution.count >= _FEWEST_VALUES:
            numbers = list(filter(is_number, distribution.options))
            return (min(numbers), max(numbers)) if len(numbers) == distribution.count else None
    return None


def _side(value: float, low: float, high: float, distribution: Distribution) -> RangeEnd | None:
    if isinstance(distribution, LogUniform):
        near, at = NEAR, math.log(max(value, low) / low) / math.log(high / low)
    else:
        near = NEAR if isinstance(distribution, Uniform) else 0.0
        at = (value - low) / (high - low)
    if at >= 1 - near:
        return "upper"
    return "lower" if at <= near and low != 0 else None
