"""What one line of the ledger holds: the fields of a trial and of a selection, and the check that they are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from search_spaces.cell import Cell

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
_EVALUATION_FIELDS = {"alpha", "split", "role", "n_examples", "primary", "metrics"}


def cell_of(record: Mapping[str, Any]) -> Cell:
    """The cell that a trial or a selection belongs to."""
    return Cell.from_json(record["cell"])


def measured(trial: Mapping[str, Any]) -> Iterator[Record]:
    """The numbers of a trial, each with all that is said of it: alpha, split, role, n_examples, metric, value, primary.

    `primary` tells whether this is the split's primary metric.
    """
    for one in trial["evaluations"]:
        said = {name: one[name] for name in ("alpha", "split", "role", "n_examples")}
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
    for evaluation in trial["evaluations"]:
        if not (isinstance(evaluation, dict) and evaluation.keys() >= _EVALUATION_FIELDS):
            return f"has an evaluation {evaluation!r}, expected the fields {', '.join(sorted(_EVALUATION_FIELDS))}"
        metrics = evaluation["metrics"]
        if not (isinstance(metrics, dict) and all(isinstance(value, (int, float)) for value in metrics.values())):
            return f"has an evaluation with metrics {metrics!r}, expected a number of each"
        if evaluation["primary"] not in metrics:
            return f"has an evaluation with primary {evaluation['primary']!r}, expected one of its metrics"
    return ""
