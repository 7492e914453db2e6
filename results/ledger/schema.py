"""What one line of the ledger holds: the fields of a trial and of a selection, and the check that they are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flyp_sweep.search_spaces.cell import Cell

Record = dict[str, Any]

STAGES = ("search", "repeat")
STATUSES = ("done", "stopped", "failed")

_TYPES: dict[str, dict[str, type]] = {
    "trial": {
        "trial_id": str,
        "cell": dict,
        "stage": str,
        "seed": int,
        "hparams": dict,
        "config_id": str,
        "status": str,
        "evaluations": list,
    },
    "selection": {"cell": dict, "config_id": str, "hparams": dict, "repeats": list},
}
_CELL_FIELDS = {"dataset", "model", "shots", "method"}
_SPLIT_FIELDS = {"split", "role", "n_examples", "primary", "metrics"}


def cell_of(record: Mapping[str, Any]) -> Cell:
    """The cell that a trial or a selection belongs to."""
    return Cell.from_json(record["cell"])


def measured(trial: Mapping[str, Any]) -> Iterator[Record]:
    """The numbers of a trial, each with all that is said of it: alpha, split, role, n_examples, metric, value, primary.

    `primary` tells whether this is the split's primary metric.
    """
    for at in trial["evaluations"]:
        for one in at["splits"]:
            said = {"alpha": at["alpha"], "split": one["split"], "role": one["role"], "n_examples": one["n_examples"]}
            for metric, value in one["metrics"].items():
                yield {**said, "metric": metric, "value": value, "primary": metric == one["primary"]}


def fault(record: Mapping[str, Any]) -> str:
    """What keeps `record` from being a ledger line (found, then expected), or `""` when nothing does."""
    kind = record.get("kind")
    if kind not in _TYPES:
        return f"has kind {kind!r}, expected 'trial' or 'selection'"
    return (
        _field_fault(record, kind) or _cell_fault(record["cell"]) or (_trial_fault(record) if kind == "trial" else "")
    )


def _field_fault(record: Mapping[str, Any], kind: str) -> str:
    lacking = [name for name in _TYPES[kind] if name not in record]
    if lacking:
        return f"lacks {', '.join(lacking)}, which every {kind} needs"
    for name, expected in _TYPES[kind].items():
        if not isinstance(record[name], expected):
            return f"has {name} {record[name]!r}, expected a {expected.__name__}"
    return ""


def _cell_fault(cell: Mapping[str, Any]) -> str:
    if cell.keys() != _CELL_FIELDS:
        return f"has a cell of {sorted(cell)}, expected dataset, model, shots and method"
    if not (cell["shots"] is None or isinstance(cell["shots"], int)):
        return f"has shots {cell['shots']!r}, expected an int or null"
    return ""


def _trial_fault(trial: Mapping[str, Any]) -> str:
    if trial["stage"] not in STAGES:
        return f"has stage {trial['stage']!r}, expected one of {', '.join(STAGES)}"
    if trial["status"] not in STATUSES:
        return f"has status {trial['status']!r}, expected one of {', '.join(STATUSES)}"
    for at in trial["evaluations"]:
        if not (isinstance(at, dict) and at.keys() >= {"alpha", "splits"} and isinstance(at["splits"], list)):
            return f"has an evaluation {at!r}, expected an alpha and its splits"
        problem = next(filter(None, map(_split_fault, at["splits"])), "")
        if problem:
            return problem
    return ""


def _split_fault(one: object) -> str:
    if not (isinstance(one, dict) and one.keys() >= _SPLIT_FIELDS):
        return f"has an evaluation {one!r}, expected the fields {', '.join(sorted(_SPLIT_FIELDS))}"
    metrics = one["metrics"]
    if not (isinstance(metrics, dict) and all(isinstance(value, (int, float)) for value in metrics.values())):
        return f"has an evaluation with metrics {metrics!r}, expected a number of each"
    if one["primary"] not in metrics:
        return f"has an evaluation with primary {one['primary']!r}, expected one of its metrics"
    return ""
