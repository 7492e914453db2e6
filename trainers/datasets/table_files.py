"""Tables in .csv, .tsv and .parquet files: some of their columns, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flyp_sweep.search_spaces.complaints import LONGEST_TEXT, is_text, one_line, show
from flyp_sweep.search_spaces.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".tsv": "\t"}
OTHERS = {";": "semicolons", "\t": "tabs", ",": "commas"}
"""Separators that spreadsheets write, and their names."""

OTHER_NAMES = {
    "train": {"training"},
    "id_val": {"val", "valid", "validation", "dev"},
    "id_test": {"test", "testing"},
}
"""Split -> what people call it in a table, in lower case."""


@dataclass(frozen=True)
class Columns:
    """Some columns of a table, every value as text; `numbers`, int64 [N], count its rows from 1, below the header.

    `empty` rows, which spreadsheets leave behind, are not among them. `unread` counts rows of no split, by what their
    table says in place of one.
    """

    cells: list[list[str]]
    numbers: np.ndarray
    empty: int = 0
    unread: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class SplitColumn:
    """The column that says which split a row belongs to, the `split` to be read, and all `splits` of the data set."""

    name: str
    split: str
    splits: Collection[str]

    def of(self, path: Path, found: Columns) -> Columns:
        """The rows of the split, without this column, which is the last. Raises InputError where there is none."""
        *cells, told = found.cells
        by_split = {split: rows_of(split, told, self.splits) for split in self.splits}
        rows = by_split[self.split]
        if not len(rows):
            way_out = ", or id_val: {from: train, fraction: 0.1}" if self.split == "id_val" else ""
            raise InputError(
                f"{path}: found no row of split {self.split!r} in the column {show(self.name)}, which holds "
                f"{show(sorted(set(told)))}; expected rows for each split of the data set{way_out}"
            )
        unread = np.ones(len(told), dtype=bool)
        unread[np.concatenate(list(by_split.values()))] = False
        left = Counter(told[row] for row in np.flatnonzero(unread))
        return Columns([[column[row] for row in rows] for column in cells], found.numbers[rows], found.empty, left)


def rows_of(split: str, told: Sequence[str], splits: Collection[str]) -> np.ndarray:
    """Which rows belong to a split, int64 [N]: those that name it or, without any, those with another name of it."""
    for names in ({split}, OTHER_NAMES.get(split, set()) - set(splits)):
        found = [row for row, name in enumerate(told) if name.strip() in names or name.strip().lower() in names]
        if found:
            return np.array(found, dtype=np.int64)
    return np.empty(0, dtype=np.int64)


def read_columns(path: Path, wanted: Sequence[str], of_split: SplitColumn | None = None) -> Columns:
    """The columns `wanted` of the table in `path`, of all its rows or those `of_split`.

    Raises InputError, in one line, when the file cannot be read, lacks a column or rows, or has a cell that is empty
    or no text on one line.
    """
    separator = SEPARATORS.get(path.suffix.lower())
    names = [*wanted, of_split.name] if of_split else wanted
    found = _read_parquet(path, names) if separator is None else _read_text(path, separator, names)
    if not found.cells[0]:
        raise InputError(f"{path}: found no row below the header; expected one for each image")
    if of_split:
        found = of_split.of(path, found)
    for name, cells in zip(wanted, found.cells, strict=True):
        _check_cells(path, name, cells, found.numbers)
    return found


def has_column(path: Path, name: str) -> bool:
    """Whether the table in `path` names a column so. Raises InputError when the file cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    separator = SEPARATORS.get(path.suffix.lower())
    try:
        if separator is None:
            return name in pq.read_schema(path).names
        return name in _text(path, separator, rows=1).iloc[0].tolist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error, "a table whose first row names its columns") from error


def _read_text(path: Path, separator: str, wanted: Sequence[str]) -> Columns:
    try:
        table = _text(path, separator).fillna("")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "a table in UTF-8 whose first row names its columns") from error
    at = _find(path, wanted, table.iloc[0].tolist())
    rows = table.iloc[1:]
    blank = np.ones(len(rows), dtype=bool)
    for column in [*at, *rows.columns]:
        if not blank.any():
            break
        blank[blank] = rows.loc[blank, column].str.strip().eq("").to_numpy(dtype=bool)
    cells = [rows.loc[~blank, column].tolist() for column in at]
    return Columns(cells, np.flatnonzero(~blank) + 1, int(blank.sum()))


def _text(path: Path, separator: str, rows: int | None = None) -> pd.DataFrame:
    """The first `rows` of a table, all if None, its header among them."""
    import pandas as pd

    # Without a header and a filter of its own, pandas neither guesses an index where rows are longer than the
    # header, nor renames a column that is there twice, nor takes a class named NA for an empty cell.
    given: dict[str, Any] = {"header": None, "dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    return pd.read_csv(path, sep=separator, nrows=rows, **given)


def _read_parquet(path: Path, wanted: Sequence[str]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _find(path, wanted, file.schema_arrow.names)
            table = file.read(columns=list(wanted))
        return Columns([_as_text(table.column(name)) for name in wanted], np.arange(1, len(table) + 1))
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
                + (_separated(path, wanted, names) or nearest(name, names if not count else []))
            )
    return [names.index(name) for name in wanted]


def _separated(path: Path, wanted: Sequence[str], names: list[str]) -> str:
    """What to do about columns that are separated in another way than the suffix says; empty when they are not."""
    suffix = path.suffix.lower()
    for separator, name in OTHERS.items():
        if (
            suffix in SEPARATORS
            and separator != SEPARATORS[suffix]
            and set(wanted) <= {*separator.join(names).split(separator)}
        ):
            cure = (
                "name the file .tsv"
                if separator == "\t"
                else "name the file .csv"
                if separator == ","
                else "write commas"
            )
            return f" (the columns are separated by {name}: {cure})"
    return ""


def _check_cells(path: Path, column: str, cells: list[str], numbers: np.ndarray) -> None:
    for row, cell in enumerate(cells):
        # `is_text` looks at every character, which takes seconds for the paths of a million ordinary images.
        ordinary = cell.isprintable() and len(cell) <= LONGEST_TEXT
        if not cell.strip() or not (ordinary or is_text(cell)):
            found = f"{show(cell)} as" if cell.strip() else "no"
            raise InputError(
                one_line(f"{path}: row {numbers[row]} below the header: found {found} {column}; ")
                + f"expected 1 to {LONGEST_TEXT} characters on one line; mend or remove the row"
            )


def _unreadable(path: Path, error: Exception, expected: str) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(one_line(f"{path}: could not be read ({reason}); expected {expected}; write it again"))
