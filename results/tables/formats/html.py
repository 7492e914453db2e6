"""The table in HTML: a fragment with its own style, for a page, a notebook, or a browser alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from flyp_sweep.results.tables.formats import Format
from flyp_sweep.results.tables.panels import Span, header_levels
from flyp_sweep.results.tables.table import BOLD, Column, Entry, Grid, Table

_STYLE = """
.flyp-table { overflow-x: auto; margin: 0 0 1.5em; font-family: system-ui, sans-serif; font-size: 14px; }
.flyp-table table { border-collapse: collapse; border-block: 2px solid; font-variant-numeric: tabular-nums; }
.flyp-table caption { caption-side: top; text-align: left; padding-bottom: .5em; max-width: 60em; }
.flyp-table th, .flyp-table td { padding: .2em .6em; text-align: right; white-space: nowrap; background: none; }
.flyp-table thead th { font-weight: 600; }
.flyp-table thead th[scope=colgroup] { text-align: center; border-bottom: 1px solid; }
.flyp-table tbody th { text-align: left; font-weight: 400; }
.flyp-table th:first-child { text-align: left; }
.flyp-table tbody tr:first-child > * { border-top: 1px solid; }
.flyp-table p, .flyp-table details { max-width: 60em; font-size: 13px; margin: .4em 0; text-align: left; }
"""


def html(table: Table) -> str:
    """A `<table>` per grid with its caption, notes and audit; all in ASCII, so that any page may hold it.

    A header names the columns (`scope="col"`, `"colgroup"` over several) or the row (`"row"`) that it is of. A wide
    table scrolls in itself.
    """
    parts = [f"<style>{_STYLE}</style>", *(_grid(grid) for grid in table.grids)]
    parts += [_details("Trials", table.trace)] if table.trace else []
    parts += [] if table.grids else ["<p>no cells yet</p>"]
    return "\n".join(parts).encode("ascii", "xmlcharrefreplace").decode("ascii") + "\n"


def _grid(grid: Grid) -> str:
    title = escape(grid.title)
    lines = [
        f'<div class="flyp-table" role="region" tabindex="0" aria-label="{title}">',
        f"<table>\n<caption><strong>{title}.</strong> {escape(grid.caption)}</caption>",
        *_groups(grid.columns),
        "<thead>",
        *_headers(grid),
        "</thead>\n<tbody>",
        *(_line(f'<th scope="row">{escape(row.label)}</th>', map(_entry, row.entries)) for row in grid.rows),
        "</tbody>\n</table>",
        *(f"<p>* {escape(note)}</p>" for note in grid.notes),
        _details("How these numbers can be checked", grid.audit) if grid.audit else "",
        "</div>",
    ]
    return "\n".join(line for line in lines if line)


def _groups(columns: Iterable[Column]) -> Iterator[str]:
    """The groups that headers with the scope `colgroup` are of."""
    first = header_levels(list(columns))[0]
    yield "<colgroup></colgroup>" + "".join(f'<colgroup span="{span.count}"></colgroup>' for span in first)


def _headers(grid: Grid) -> Iterator[str]:
    *outer, names = header_levels(grid.columns)
    for spans in outer:
        yield _line("<td></td>", map(_outer, spans))
    stub = f'<th scope="col">{escape(grid.stub)}</th>'
    yield _line(stub, (f'<th scope="col">{escape(span.label)}</th>' for span in names))


def _outer(span: Span) -> str:
    columns = f' colspan="{span.count}"' if span.count > 1 else ""
    return f'<th scope="colgroup"{columns}>{escape(span.label)}</th>' if span.label else f"<td{columns}></td>"


def _entry(entry: Entry) -> str:
    printed = escape(entry.printed) + ("&nbsp;*" if entry.is_short else "")
    if entry.mark in BOLD:
        return f"<td><strong>{printed}</strong></td>"
    return f"<td><u>{printed}</u></td>" if entry.mark == "level" else f"<td>{printed}</td>"


def _line(first: str, rest: Iterable[str]) -> str:
    return f"<tr>{first}{''.join(rest)}</tr>"


def _details(summary: str, lines: Iterable[str]) -> str:
    return f"<details><summary>{summary}</summary>{''.join(f'<p>{escape(line)}</p>' for line in lines)}</details>"


FORMAT = Format(html, "html")
