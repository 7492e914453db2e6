"""The table as a pandas frame, for analysis in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyp_sweep.results.tables.formats.csv import FIELDS, entries_of

if TYPE_CHECKING:
    import pandas as pd

    from flyp_sweep.results.tables.table import Table

_FLOATS = ("mean", "low", "high", "confidence", "to_best", "to_best_low", "to_best_high", "p", "p_corrected")
_INTEGERS = ("shots", "n", "planned", "to_best_n")


def to_frame(table: Table) -> pd.DataFrame:
    """One row per entry, with the columns of the CSV: see `Table.to_frame`."""
    import pandas as pd  # heavy, and most of the command line has no use for it

    frame = pd.DataFrame.from_records(list(entries_of(table)), columns=list(FIELDS))
    types = dict.fromkeys(_FLOATS, "float64") | dict.fromkeys(_INTEGERS, "Int64")
    texts = dict.fromkeys((name for name in FIELDS if name not in types), "object")
    return frame.astype({**types, **texts}).fillna(dict.fromkeys(texts, ""))
