"""The ledger as a tidy frame: one row per trial, alpha, split and metric."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from flyp_sweep.results.ledger.file import last_selections, recorded_labels, trials_by_id
from flyp_sweep.results.ledger.schema import STAGES, Record, SelectionRecord, TrialRecord, same_alpha
from flyp_sweep.results.naming import block_order, method_label, method_order
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.roles import REPORTED

_IDENTITY: dict[str, str] = {
    "trial_id": "string",
    "dataset": "string",
    "model": "string",
    "shots": "Int64",
    "method": "string",
    "method_label": "string",
    "stage": "string",
    "seed": "Int64",
    "config_id": "string",
}
_EVALUATION: dict[str, str] = {
    "alpha": "float64",
    "split": "string",
    "role": "string",
    "metric": "string",
    "value": "float64",
    "n_examples": "Int64",
    "primary": "bool",
    "chosen": "bool",
    "selected": "bool",
    "status": "string",
}


def tidy_frame(records: Iterable[Record]) -> pd.DataFrame:
    """The tidy frame of a ledger's records, one row per trial x alpha x split x metric.

    Columns: trial_id, dataset, model, shots (missing for the whole training split), method, method_label (how it is
    printed), stage, seed, config_id, one `hparam_<name>` per hyper-parameter (missing where a trial has none), alpha,
    split, role, metric, value (in the unit of `results.metrics`), n_examples, primary (the split's primary metric),
    chosen (alpha is the one the trial chose on id_val; the zero-shot model's always is), selected (the trial is a
    repeat that its cell's last selection planned, and the split counts for the cell) and status. Rows are ordered by
    cell, stage, configuration, seed, alpha, split and metric, whatever the order of the lines.
    """
    records = list(records)
    selected = {name: selection for selection in last_selections(records).values() for name in selection.repeats}
    trials = sorted(trials_by_id(records).values(), key=_trial_order)
    hparams = sorted({name for trial in trials for name in trial.hparams})
    splits = _split_order(trials)
    labels = recorded_labels(records)
    rows = [row for trial in trials for row in _rows(trial, labels, hparams, splits, selected.get(trial.trial_id))]
    columns = [*_IDENTITY, *map(hparam_column, hparams), *_EVALUATION]
    frame = pd.DataFrame(rows, columns=columns, dtype=object).astype(_IDENTITY | _EVALUATION)
    return frame.assign(**{hparam_column(name): _typed(frame[hparam_column(name)]) for name in hparams})


def hparam_column(name: str) -> str:
    """The column of the hyper-parameter `name`."""
    return f"hparam_{name}"


def write_parquet(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a tidy frame; an earlier file is replaced at once or not at all."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    frame.to_parquet(part, index=False)
    part.replace(path)


def read_parquet(path: str | Path) -> pd.DataFrame:
    """The tidy frame that `write_parquet` wrote. Raises InputError when it is not there."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: found no file, expected tidy results; `flyp-sweep table` makes them from the ledger")
    return pd.read_parquet(path)


def _trial_order(trial: TrialRecord) -> tuple[Any, ...]:
    stage = STAGES.index(trial.stage)
    method = method_order(trial.cell.method)
    return (*block_order(trial.cell), method, stage, trial.config_id, trial.seed, trial.trial_id)


def _split_order(trials: Iterable[TrialRecord]) -> dict[tuple[str, str], int]:
    """Rank of each (dataset, split): its first appearance in the trials, which must come in a fixed order."""
    order: dict[tuple[str, str], int] = {}
    for trial in trials:
        for split in (one.split for at in trial.evaluations for one in at.splits):
            order.setdefault((trial.cell.dataset, split), len(order))
    return order


def _rows(
    trial: TrialRecord,
    labels: Mapping[str, str],
    hparams: Iterable[str],
    splits: dict[tuple[str, str], int],
    selection: SelectionRecord | None,
) -> list[dict[str, Any]]:
    chosen = trial.chosen_alpha
    own = {name: getattr(trial, name) for name in ("trial_id", "stage", "seed", "config_id", "status")}
    own |= trial.cell.to_json() | {"method_label": method_label(trial.cell.method, labels)}
    own |= {hparam_column(name): trial.hparams.get(name) for name in hparams}
    rows = []
    for one in trial.measurements:
        is_chosen = chosen is not None and same_alpha(one.alpha, chosen)
        measured = {name: getattr(one, name) for name in ("alpha", "split", "role", "metric", "value", "n_examples")}
        selected = selection is not None and (one.role not in REPORTED or selection.counts(trial.settings, one.split))
        rows.append({**own, **measured, "primary": one.is_primary, "chosen": is_chosen, "selected": selected})
    return sorted(rows, key=lambda row: (row["alpha"], splits[trial.cell.dataset, row["split"]], row["metric"]))


def _typed(column: pd.Series) -> pd.Series:
    """One Parquet type for a hyper-parameter: integers, floats, booleans, text; anything else as its JSON text."""
    kinds = {type(value) for value in column if not _is_missing(value)}
    for accepted, dtype in (({bool}, "boolean"), ({int}, "Int64"), ({int, float}, "Float64"), ({str}, "string")):
        if kinds <= accepted:
            return column.astype(dtype)
    texts = [None if _is_missing(value) else json.dumps(value, sort_keys=True) for value in column]
    return pd.Series(texts, index=column.index, dtype="string")


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
