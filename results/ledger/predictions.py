"""The per-example outputs of a run's repeats, one Parquet file per repeat, as pandas frames.

Workers write the files (`trainers/evaluation/predictions.py`). Files are read by pyarrow's dataset API: only those of
the repeats that were asked for, and of them only the row groups and columns that are needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.schema import Record, SelectionRecord, TrialRecord, is_mixture
from flyp_sweep.results.naming import ZEROSHOT, block_order, method_order
from flyp_sweep.search_spaces.errors import InputError, nearest

OutputSide = Literal["without", "with"]

METADATA = b"flyp_sweep"
COLUMNS = (
    *("trial_id", "split", "alpha", "row", "example", "label", "predicted", "confidence", "p_label", "group"),
    "logits",
)
"""Columns of a file; `logits` is there if the search space says `predictions: logits`."""
NAMES = {"label_name": "label", "predicted_name": "predicted"}
ADDED = ("dataset", "model", "shots", "method", "seed", "chosen", *NAMES, "group_name")
"""Columns that a frame has beside them."""
_TEXTS = ("dataset", "model", "method")
_ALPHA_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Repeat:
    """A finished repeat that the last selection of its cell planned, and the path of its outputs."""

    trial: TrialRecord
    selection: SelectionRecord
    path: Path

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of the file. Raises InputError when the file cannot be read."""
        try:
            return pq.read_schema(self.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise _unreadable(self.path, error) from None

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the file says of itself; see docs/predictions.md for the keys."""
        found = (self.schema.metadata or {}).get(METADATA)
        if found is None:
            raise _unreadable(self.path, "its schema has no metadata of flyp-sweep")
        facts: dict[str, Any] = json.loads(found)
        return facts

    @property
    def splits(self) -> list[str]:
        """The splits whose outputs count for the cell: those of the content that the selection names."""
        held: Mapping[str, str] = self.facts["splits"]
        return [name for name, identity in held.items() if self.selection.counts({"splits": {name: identity}}, name)]

    def names(self, split: str) -> list[str]:
        """The names of the labels of a split, by number."""
        return list(self.facts.get("labels", {}).get(split) or self.facts["classes"])

    def alpha(self, side: OutputSide) -> float | None:
        """The alpha of a side; None for what a mixture does not have."""
        if self.trial.cell.method == ZEROSHOT:
            return 0.0
        if side == "with":
            return float(self.facts["chosen"])
        return None if is_mixture(self.trial.cell, self.trial.settings) else 1.0


def repeats_in(records: Iterable[Record], folder: Path) -> list[Repeat]:
    """The finished repeats that count, in the order of tables; `folder` is that of the files."""
    records = list(records)
    trials = trials_by_id(records)
    found = [
        Repeat(trial, selection, folder / f"{trial.trial_id}.parquet")
        for selection in last_selections(records).values()
        for trial in map(trials.get, selection.repeats)
        if trial is not None and trial.status == "done"
    ]
    return sorted(found, key=lambda one: (*block_order(one.trial.cell), method_order(one.trial.cell.method)))


def read_predictions(
    repeats: Sequence[Repeat],
    where: str,
    asked: Mapping[str, object],
    *,
    split: str | None = None,
    side: OutputSide | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The frame of `RunFolder.predictions`; `where` is what messages call the run.

    `asked` holds fields of a cell, and `seed`: a repeat must have the values that are not None.
    """
    for name in columns or ():
        if name not in (*COLUMNS, *ADDED):
            raise _unknown("column", name, [*ADDED, *COLUMNS], where)
    if side not in (None, *get_args(OutputSide)):
        raise _unknown("side", side, get_args(OutputSide), where)
    chosen = _matching(repeats, asked, where)
    refuse_missing(chosen, where)
    if split is not None:
        held = list(dict.fromkeys(name for one in chosen for name in one.splits))
        if split not in held:
            raise _unknown("split", split, held, where)
    tables = [read_one(one, split, side, columns) for one in chosen]
    frame = pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas()
    frame = frame.astype({name: "Int64" for name in ("shots", "group") if name in frame})  # whole numbers, or missing
    return frame if columns is None else frame[list(columns)]


def _matching(repeats: Sequence[Repeat], asked: Mapping[str, Any], where: str) -> list[Repeat]:
    """The repeats that were asked for. Raises InputError where there is none, with the first name that none has."""
    left = list(repeats)
    if not left:
        raise InputError(f"{where}: found no finished repeat, expected one; `flyp-sweep status {where}` tells how far")
    for name, value in asked.items():
        if value is not None:
            held = [_value(one, name) for one in left]
            left = [one for one, own in zip(left, held, strict=True) if own == value]
            if not left:
                raise _unknown(name, value, list(dict.fromkeys(held)), where)
    return left


def _value(repeat: Repeat, name: str) -> object:
    if name == "seed":
        return repeat.trial.seed
    value = getattr(repeat.trial.cell, name)
    return "full" if name == "shots" and value is None else value


def _unknown(what: str, found: object, known: Sequence[object], where: str) -> InputError:
    names = [str(one) for one in known]
    return InputError(
        f"{where}: predictions: found {what} {found!r}{nearest(str(found), names)}, expected one of {', '.join(names)}"
    )


def refuse_missing(repeats: Sequence[Repeat], where: str) -> None:
    """Raises InputError, which says what to do, where a repeat has no file."""
    lost = [one for one in repeats if not one.path.is_file()]
    if not lost:
        return
    cure = (
        "copy predictions/ of the store into that folder"
        if "://" in where
        else "`flyp-sweep evaluate RUN` makes them, unless the search space says predictions: none"
    )
    raise InputError(
        f"{where}: found no file {lost[0].path.name} in {lost[0].path.parent} ({len(lost)} of {len(repeats)} repeats "
        f"have none), expected the predictions of every repeat: {cure}"
    )


def _unreadable(path: Path, reason: object) -> InputError:
    return InputError(
        f"{path}: cannot be read ({str(reason).splitlines()[0]}), expected the predictions of a repeat; delete the "
        "file, and `flyp-sweep evaluate RUN` makes it again"
    )


def read_one(
    repeat: Repeat, split: str | None, side: OutputSide | None, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of one file that count, with the columns of its cell; errors as in `RunFolder.predictions`."""
    rows = pc.field("split").isin([name for name in repeat.splits if split in (None, name)])
    if side is not None:
        rows &= _at(repeat.alpha(side))
    own = [name for name in COLUMNS if (columns is None or name in columns) and name in repeat.schema.names]
    named = [name for name in NAMES if columns is None or name in columns]
    grouped = ["group"] * (columns is None or "group_name" in columns)
    needed = {*own, "alpha", *(NAMES[name] for name in named), *grouped, *(["split"] if named or grouped else [])}
    try:
        table = ds.dataset(repeat.path, format="parquet").to_table(columns=list(needed), filter=rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(repeat.path, error) from None
    made = {**_constants(repeat, len(table)), **{name: table[name] for name in own}, "chosen": _chosen(repeat, table)}
    made |= {name: _names(repeat, table, NAMES[name]) for name in named}
    made |= {f"{name}_name": _group_names(repeat, table) for name in grouped}
    order = ["dataset", "model", "shots", "method", "seed", *own, "chosen", *NAMES, "group_name"]
    return pa.table({name: made[name] for name in order if columns is None or name in columns})


def _at(alpha: float | None) -> pc.Expression:
    """The rows at an alpha; none where there is no such alpha."""
    if alpha is None:
        return pc.scalar(False)
    return (pc.field("alpha") > alpha - _ALPHA_TOLERANCE) & (pc.field("alpha") < alpha + _ALPHA_TOLERANCE)


def _constants(repeat: Repeat, rows: int) -> dict[str, pa.Array]:
    """The columns of the cell and the seed, the same in all rows of a file."""
    cell = repeat.trial.cell
    places = pa.repeat(pa.scalar(0, pa.int32()), rows)
    texts = {name: pa.DictionaryArray.from_arrays(places, [getattr(cell, name)]) for name in _TEXTS}
    numbers = {"shots": cell.shots, "seed": repeat.trial.seed}
    return texts | {name: pa.repeat(pa.scalar(value, pa.int64()), rows) for name, value in numbers.items()}


def _chosen(repeat: Repeat, table: pa.Table) -> pa.Array:
    """Whether a row is at the alpha that the trial chose on ID validation data."""
    return pc.less(pc.abs(pc.subtract(table["alpha"], float(repeat.facts["chosen"]))), _ALPHA_TOLERANCE)


def _names(repeat: Repeat, table: pa.Table, column: str) -> pa.ChunkedArray:
    """The names of the classes that a column numbers."""
    found = _taken(repeat.facts["classes"], table[column])
    for split, names in repeat.facts.get("labels", {}).items():
        own = pc.equal(table["split"].cast(pa.string()), split)
        found = pc.if_else(own, _taken(names, table[column]), found)
    return found.dictionary_encode()


def _group_names(repeat: Repeat, table: pa.Table) -> pa.ChunkedArray:
    """The names of the groups, missing where a group has none."""
    found = pa.chunked_array([pa.nulls(len(table), pa.string())])
    for split, names in repeat.facts.get("groups", {}).items():
        own = pc.equal(table["split"].cast(pa.string()), split)
        found = pc.if_else(own, _taken(names, table["group"]), found)
    return found.dictionary_encode()


def _taken(names: Sequence[str], numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """A name for each number, if any; numbers of splits with more labels are not meant, and have the last one."""
    known = pc.min_element_wise(numbers, pa.scalar(len(names) - 1, pa.int32()), skip_nulls=False)
    return pa.array(names, pa.string()).take(known)
