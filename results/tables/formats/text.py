"""The table for a terminal."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from flyp_sweep.results.tables.formats import Format
from flyp_sweep.results.tables.panels import header_levels, panels
from flyp_sweep.results.tables.table import Entry, Grid, Table

WIDTH = 100

_STYLES = {"best": "bold", "differs": "bold", "better": "bold", "level": "underline", "": ""}
_PLAIN = {
    "best": ("**", "**"),
    "differs": ("**", "**"),
    "better": ("**", "**"),
    "level": (" _", "_ "),
    "": ("  ", "  "),
}


def text(table: Table, width: int = WIDTH) -> str:
    """Plain text of `width` columns, or of more where a single number needs them.

    What a terminal shows bold stands between `**`, what it underlines between `_`.
    """
    console = Console(width=width, file=io.StringIO(), force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(renderable(table))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def renderable(table: Table) -> RenderableType:
    """What a `rich.console.Console` prints, as wide as the console; where it is no terminal, marks are characters."""
    return _Printed(table)


@dataclass(frozen=True)
class _Printed:
    """Each grid with its notes, then caption and audit lines, once where equal."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for (caption, audit), grids in itertools.groupby(self.table.grids, key=lambda grid: (grid.caption, grid.audit)):
            for grid in grids:
                yield Text(grid.title, style="bold cyan")
                for line in grid_lines(grid, options.max_width, plain=not console.is_terminal):
                    line.no_wrap, line.overflow = True, "ignore"
                    yield line
                yield from (Text(f"* {note}", style="yellow") for note in grid.notes)
                yield from [Text()] if grid.notes else []
            yield Text(caption, style="dim")
            yield from (Text(line, style="dim") for line in audit)
            yield Text()
        yield from (Text(line, style="dim") for line in self.table.trace)
        if not self.table.grids:
            yield Text("no cells yet", style="dim")


def grid_lines(grid: Grid, limit: int, *, plain: bool) -> Iterator[Text]:
    """Headers and rows of a grid, in panels of at most `limit` columns, a blank line after each.

    A `plain` line marks numbers by characters, another one by its style.
    """
    gap = 1 if plain else 2  # a file has 100 columns, and room for marks beside numbers
    has_marks = any(entry.mark for row in grid.rows for entry in row.entries)
    write = _with_characters if plain and has_marks else _with_style
    written = [[write(entry) for entry in row.entries] for row in grid.rows]
    widths = _widths(grid, written)
    stub = max(cell_len(label) for label in [grid.stub, *(row.label for row in grid.rows)])

    def width(columns: Sequence[int]) -> int:
        return stub + sum(gap + widths[index] for index in columns)

    for panel in panels(grid, width, limit):
        own = _widened(grid, panel, widths, gap)
        yield from _headers(grid, panel, stub, own, gap)
        for row, entries in zip(grid.rows, written, strict=True):
            line = Text(_left(row.label, stub))
            for index, size in zip(panel, own, strict=True):
                line.append(" " * (gap + size - cell_len(entries[index].plain))).append_text(entries[index])
            yield line
        yield Text()


def _with_style(entry: Entry) -> Text:
    return Text.assemble((entry.printed, _STYLES[entry.mark]), _short(entry))


def _with_characters(entry: Entry) -> Text:
    """Marked by characters; numbers without a mark have as much room around them."""
    before, after = _PLAIN[entry.mark] if entry.interval else ("", "")
    return Text(before + entry.printed + after + _short(entry))


def _short(entry: Entry) -> str:
    return " *" if entry.is_short else ""


def _widths(grid: Grid, written: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max(cell_len(cell) for cell in [column.name, *(entries[index].plain for entries in written)])
        for index, column in enumerate(grid.columns)
    ]


def _widened(grid: Grid, panel: Sequence[int], widths: Sequence[int], gap: int) -> list[int]:
    """The widths of a panel's columns, the last one under a header widened where the header needs more."""
    own = [widths[index] for index in panel]
    for spans in header_levels([grid.columns[index] for index in panel])[:-1]:
        at = 0
        for span in spans:
            held = sum(own[at : at + span.count]) + gap * (span.count - 1)
            own[at + span.count - 1] += max(0, cell_len(span.label) - held)
            at += span.count
    return own


def _headers(grid: Grid, panel: Sequence[int], stub: int, widths: Sequence[int], gap: int) -> Iterator[Text]:
    """A line per level of headers, each but the last with a rule under what it spans; then a rule over all."""
    levels = header_levels([grid.columns[index] for index in panel])
    for spans in levels[:-1]:
        labels, rules, at = Text(" " * stub), Text(" " * stub), 0
        for span in spans:
            size = sum(widths[at : at + span.count]) + gap * (span.count - 1)
            labels.append(" " * gap).append(_centred(span.label, size), style="italic")
            rules.append(" " * gap + ("─" if span.label else " ") * size)
            at += span.count
        yield labels
        yield rules
    line = Text(_left(grid.stub, stub))
    for span, size in zip(levels[-1], widths, strict=True):
        line.append(" " * (gap + size - cell_len(span.label)) + span.label)
    yield line
    yield Text("─" * cell_len(line.plain))


def _left(label: str, size: int) -> str:
    return set_cell_size(label, size)


def _centred(label: str, size: int) -> str:
    free = size - cell_len(label)
    return " " * (free // 2) + label + " " * (free - free // 2)


FORMAT = Format(text, "txt")
