"""Tables in .csv, .tsv and .parquet files: some of their columns, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.complaints import LONGEST_TEXT, is_text, one_line, show
from flyp_sweep.search_spaces.errors import InputError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_columns(path: Path, wanted: Sequence[str]) -> list[list[str]]:
    """The columns `wanted` of the table in `path`, every value as text. Rows are counted from 1, below the header.

    Raises InputError, in one line, when the file cannot be read, lacks a column or rows, or has a cell that is empty
    or no text on one line.
    """
    separator = SEPARATORS.get(path.suffix.lower())
    columns = _read_parquet(path, wanted) if separator is None else _read_text(path, separator, wanted)
    if not columns[0]:
        raise InputError(f"{path}: found no row below the header; expected one for each image")
    for name, cells in zip(wanted, columns, strict=True):
        _check_cells(path, name, cells)
    return columns


def _read_text(path: Path, separator: str, wanted: Sequence[str]) -> list[list[str]]:
    import pandas as pd

    try:
        # Without a header and a filter of its own, pandas neither guesses an index where rows are longer than the
        # header, nor renames a column that is there twice, nor takes a class named NA for an empty cell.
        table = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        table = table.fillna("")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "a table in UTF-8 whose first row names its columns") from error
    at = _find(path, wanted, table.iloc[0].tolist())
    return [table[column].tolist()[1:] for column in at]


def _read_parquet(path: Path, wanted: Sequence[str]) -> list[list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _find(path, wanted, file.schema_arrow.names)
            table = file.read(columns=list(wanted))
        return [_as_text(table.column(name)) for name in wanted]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error, f"a Parquet file with texts or numbers as {' and '.join(wanted)}") from error


def _as_text(column: pa.ChunkedArray) -> list[str]:
    """The values of a column as text, empty for none. Raises pyarrow.ArrowException for lists and the like."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()).fill_null("").to_pylist()


def _find(path: Path, wanted: Sequence[str], names: list[str]) -> list[int]:
    """Where the columns `wanted` are among `names`."""
    for name in wanted:
        if (count := names.count(name)) != 1:
            found = f"the column {show(name)} {count} times" if count else f"no column {show(name)}"
            have = show(names) if names else "nothing"
            raise InputError(
                one_line(f"{path}: found {found} among {have}; expected it once, or its name in dataset.columns")
                + nearest(name, names if not count else [])
            )
    return [names.index(name) for name in wanted]


def _check_cells(path: Path, column: str, cells: list[str]) -> None:
    for row, cell in enumerate(cells, start=1):
        # `is_text` looks at every character, which takes seconds for the paths of a million ordinary images.
        ordinary = cell.isprintable() and len(cell) <= LONGEST_TEXT
        if not cell.strip() or not (ordinary or is_text(cell)):
            found = f"{show(cell)} as" if cell.strip() else "no"
            raise InputError(
                one_line(f"{path}: row {row} below the header: found {found} {column}; ")
                + f"expected 1 to {LONGEST_TEXT} characters on one line; mend or remove the row"
            )


def _unreadable(path: Path, error: Exception, expected: str) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(one_line(f"{path}: could not be read ({reason}); expected {expected}; write it again"))
