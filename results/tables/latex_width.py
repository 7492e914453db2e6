r"""How wide LaTeX will set a table: enough of Computer Modern's metrics to choose a size that fits."""

from __future__ import annotations

from dataclasses import dataclass

from flyp_sweep.results.tables.table import BOLD, Grid

_SLACK = 1.03  # documents of 11 pt set these sizes larger, by a little more than their text is wider
_BOLD = 1.16
_STAR = 0.45

# Widths in em of cmr10, at least; letters that are not here are as wide as the widest of their kind.
_WIDTHS = {
    **dict.fromkeys("0123456789+", 0.5),
    **dict.fromkeys(".,:;il'|!", 0.28),
    **dict.fromkeys("()[]jtfrsI/", 0.4),
    **dict.fromkeys("mwMWQ", 1.0),
    **dict.fromkeys("abcdeghknopquvxyz_ ", 0.56),
    **dict.fromkeys("+-", 0.78),
    " ": 0.34,
}
_WIDEST = 0.79


@dataclass(frozen=True)
class FontSize:
    """A size command of LaTeX in a 10 pt document: its size, how much wider its design is, and the room of columns."""

    name: str
    points: float
    stretch: float
    tabcolsep: float


SIZES = (
    FontSize("small", 9.0, 1.03, 5.0),
    FontSize("footnotesize", 8.0, 1.06, 4.0),
    FontSize("scriptsize", 7.0, 1.14, 2.5),
)
"""From the largest to the smallest that can be read."""


def text_width(text: str, size: FontSize) -> float:
    """At most how wide `text` is, in points."""
    ems = sum(_WIDTHS.get(character, _WIDEST) for character in text)
    return ems * size.points * size.stretch * _SLACK


def column_width(grid: Grid, index: int, size: FontSize) -> float:
    """At most how wide a column is, in points, without the room between columns."""
    widths = [text_width(grid.columns[index].name, size)]
    for row in grid.rows:
        entry = row.entries[index]
        width = text_width(entry.printed, size) * (_BOLD if entry.mark in BOLD else 1)
        widths.append(width + (_STAR * size.points if entry.is_short else 0))
    return max(widths)
