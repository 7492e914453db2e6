"""Printing a table: one file per format, one line in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable

from flyp_sweep.results.tables.formats.csv import csv_rows
from flyp_sweep.results.tables.formats.latex import latex
from flyp_sweep.results.tables.formats.markdown import markdown
from flyp_sweep.results.tables.formats.text import text
from flyp_sweep.results.tables.table import Table
from flyp_sweep.search_spaces.errors import InputError, nearest

FORMATS: dict[str, Callable[[Table], str]] = {
    "text": text,
    "markdown": markdown,
    "csv": csv_rows,
    "latex": latex,
}


def render(table: Table, format: str = "text") -> str:
    """`table` in one of `FORMATS`. Raises InputError for a name that is not there."""
    if format not in FORMATS:
        raise InputError(
            f"found format {format!r}{nearest(format, FORMATS)}, expected one of {', '.join(FORMATS)}; "
            "choose one of these"
        )
    return FORMATS[format](table)
