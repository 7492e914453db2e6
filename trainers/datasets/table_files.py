"""Reads some columns of .csv, .tsv and .parquet files as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flyp_sweep.search_spaces.complaints import LONGEST_TEXT, is_text, one_line, show
from flyp_sweep.search_spaces.errors import InputError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".tsv": "\t"}
OTHERS = {
    ";": ("semicolons", "write commas"),
    "\t": ("tabs", "name the file .tsv"),
    ",": ("commas", "name the file .csv"),
}
"""Other separators that spreadsheets write -> their names, and what to do about them."""


@dataclass(frozen=True)
class Columns:
    """Some columns of a table, all values as text; `numbers`, int64 [N], are the row numbers from 1, below the header.

    Blank rows, which spreadsheets leave behind, are not included; `empty` counts them.
    """

    names: list[str]
    cells: list[list[str]]
    numbers: np.ndarray
    empty: int = 0


def read_columns(
    path: Path, wanted: Sequence[str], optional: Sequence[str] = (), named_by: str = "dataset.columns"
) -> Columns:
    """The columns `wanted` of the table in `path`, followed by those of the `optional` columns that exist.

    Raises InputError, in one line, if the file cannot be read, or has no such column or no rows. `named_by` is the YAML
    key that names columns.
    """
    separator = SEPARATORS.get(path.suffix.lower())
    read = _read_parquet if separator is None else _read_text
    found = read(path, wanted, optional, named_by)
    if not found.cells[0]:
        raise InputError(f"{path}: found no row below the header; expected one for each image")
    return found


def _read_text(path: Path, wanted: Sequence[str], optional: Sequence[str], named_by: str) -> Columns:
    import pandas as pd

    separator = SEPARATORS[path.suffix.lower()]
    try:
        # header=None and no NA filter: otherwise pandas guesses an index if rows are longer than the header, renames
        # repeated columns, and reads a class named NA as an empty cell.
        table = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        table = table.fillna("")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "a table in UTF-8 whose first row names its columns") from error
    found = table.iloc[0].tolist()
    names = [*wanted, *(name for name in optional if name in found)]
    at = _find(path, names, found, named_by)
    rows = table.iloc[1:]
    blank = np.ones(len(rows), dtype=bool)
    for column in [*at, *rows.columns]:  # check the wanted columns first: they leave fewer rows to check in the others
        if not blank.any():
            break
        blank[blank] = rows.loc[blank, column].str.strip().eq("").to_numpy(dtype=bool)
    cells = [rows.loc[~blank, column].tolist() for column in at]
    return Columns(names, cells, np.flatnonzero(~blank) + 1, int(blank.sum()))


def _read_parquet(path: Path, wanted: Sequence[str], optional: Sequence[str], named_by: str) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            names = [*wanted, *(name for name in optional if name in found)]
            _find(path, names, found, named_by)
            table = file.read(columns=names)
        return Columns(names, [_as_text(table.column(name)) for name in names], np.arange(1, len(table) + 1))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error, f"a Parquet file with texts or numbers as {' and '.join(wanted)}") from error


def _as_text(column: pa.ChunkedArray) -> list[str]:
    """The values of a column as text, empty for null. Raises pyarrow.ArrowException for nested values such as lists."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()).fill_null("").to_pylist()


def _find(path: Path, wanted: Sequence[str], names: list[str], named_by: str) -> list[int]:
    """The positions of the columns `wanted` among `names`."""
    for name in wanted:
        if (count := names.count(name)) != 1:
            found = f"the column {show(name)} {count} times" if count else f"no column {show(name)}"
            have = show(names) if names else "nothing"
            raise InputError(
                one_line(f"{path}: found {found} among {have}; expected it once, or its name in {named_by}")
                + (_separated(path, wanted, names) or nearest(name, names if not count else []))
            )
    return [names.index(name) for name in wanted]


def _separated(path: Path, wanted: Sequence[str], names: list[str]) -> str:
    """Advice if the columns have another separator than the suffix implies, else empty."""
    own = SEPARATORS.get(path.suffix.lower())
    for separator, (name, cure) in OTHERS.items():
        if own not in (None, separator) and set(wanted) <= {*separator.join(names).split(separator)}:
            return f" (the columns are separated by {name}: {cure})"
    return ""


def check_cells(path: Path, column: str, cells: Iterable[str], numbers: np.ndarray) -> None:
    """Raise InputError for a cell that is empty or not a single line of text; `numbers` are row numbers."""
    for row, cell in enumerate(cells):
        # `is_text` checks every character, which takes seconds for the paths of a million images.
        ordinary = cell.isprintable() and len(cell) <= LONGEST_TEXT
        if not cell.strip() or not (ordinary or is_text(cell)):
            found = f"{show(cell)} as" if cell.strip() else "no"
            raise InputError(
                one_line(f"{path}: row {numbers[row]} below the header: found {found} {column}; ")
                + f"expected 1 to {LONGEST_TEXT} characters on one line; correct or remove the row"
            )


def _unreadable(path: Path, error: Exception, expected: str) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(one_line(f"{path}: could not be read ({reason}); expected {expected}; write it again"))
