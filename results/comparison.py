"""The comparison table of a run, made from its ledger."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from results.ledger import last_selections, trials_by_id
from results.naming import ZEROSHOT, block_order, method_order
from results.records import Record, cell_of
from results.repeats import Repeats, chosen_alpha, evaluated_alpha, repeats_of, same_alpha
from results.statistics import mean_interval
from results.tables import SIDE_LABELS, SIDES, Block, Column, Row, Side, State, Table
from search_spaces.cell import Cell
from search_spaces.errors import InputError

_NAMED_AT_MOST = 3


def comparison_table(records: Iterable[Record], planned: Sequence[Cell] = (), confidence: float = 0.95) -> Table:
    """The comparison table of a ledger's records.

    A cell's numbers come from exactly the finished repeats that its last selection planned. `planned` names cells that
    may have no line in the ledger yet; its order is that of methods which the paper's tables lack. Raises InputError
    for a cell whose repeats mix configurations or hold a seed twice.
    """
    records = list(records)
    trials, selections = trials_by_id(records), last_selections(records)
    started = {cell_of(trial) for trial in trials.values()}
    hopeful = {cell_of(trial) for trial in trials.values() if trial["status"] != "failed"}
    others = list(dict.fromkeys(cell.method for cell in planned))
    cells = sorted(
        {*planned, *started, *selections}, key=lambda cell: (block_order(cell), method_order(cell.method, others))
    )
    rows = []
    for cell in cells:
        if cell in selections:
            rows.append(_selected_row(selections[cell], repeats_of(selections[cell], trials), confidence))
        else:
            state: State = "running" if cell in hopeful else "failed" if cell in started else "planned"
            rows.append(Row(cell, state, n=0, planned=0, values={}))
    return Table(tuple(_block(list(group)) for _, group in itertools.groupby(rows, lambda row: block_order(row.cell))))


def primary_numbers(trial: Record, alpha: float) -> dict[Column, float]:
    """The primary metric (a fraction) of a trial on `id_test` and each `ood` split at `alpha`.

    With two or more OOD sets their mean comes last; it never holds an ID number. Raises InputError when a split has two
    primary numbers.
    """
    numbers: dict[Column, float] = {}
    for evaluation in trial["evaluations"]:
        role = evaluation["role"]
        if not (
            evaluation["primary"] and role in ("id_test", "ood") and same_alpha(evaluated_alpha(evaluation), alpha)
        ):
            continue
        column = Column("ID" if role == "id_test" else evaluation["split"], role, evaluation["metric"])
        if column in numbers:
            raise InputError(
                f"trial {trial['trial_id']}: found two primary numbers for {column.name} at alpha {alpha:g}, "
                "expected one; delete its line from the ledger and run the sweep again"
            )
        numbers[column] = float(evaluation["value"])
    return numbers | _mean_ood(numbers)


def _mean_ood(numbers: Mapping[Column, float]) -> dict[Column, float]:
    ood = {column: value for column, value in numbers.items() if column.role == "ood"}
    if len(ood) < 2:
        return {}
    metrics = {column.metric for column in ood}
    metric = metrics.pop() if len(metrics) == 1 else "primary metric"
    return {Column("mean OOD", "mean_ood", metric): sum(ood.values()) / len(ood)}


def _selected_row(selection: Record, repeats: Repeats, confidence: float) -> Row:
    samples = _samples(repeats.done)
    if repeats.done:
        state: State = "done"
    else:
        state = "running" if repeats.missing or not repeats.failed else "failed"
    return Row(
        cell=repeats.cell,
        state=state,
        n=len(repeats.done),
        planned=repeats.planned,
        values={key: mean_interval(values, confidence) for key, values in samples.items()},
        notes=(*_loss_note(repeats), *_gap_notes(samples, len(repeats.done))),
        selected_on=str(selection.get("metric") or "").replace("_", " "),
    )


def _samples(trials: Iterable[Record]) -> dict[tuple[Side, Column], list[float]]:
    """Per side and column the values of the trials, one per seed."""
    samples: dict[tuple[Side, Column], list[float]] = {}
    for trial in trials:
        for side in SIDES:
            alpha = _alpha(trial, side)
            for column, value in primary_numbers(trial, alpha).items() if alpha is not None else ():
                samples.setdefault((side, column), []).append(value)
    return samples


def _alpha(trial: Record, side: Side) -> float | None:
    if side == "with" or trial["cell"]["method"] == ZEROSHOT:
        return chosen_alpha(trial)
    return 1.0


def _loss_note(repeats: Repeats) -> list[str]:
    """What became of the planned repeats that give no number; nothing when none has finished or all have."""
    lost = [f"repeat {place} missing (trial {trial_id})" for place, trial_id in repeats.missing]
    lost += [_failure(trial) for trial in repeats.failed]
    if not (lost and (repeats.done or repeats.failed)):
        return []
    named = lost[:_NAMED_AT_MOST] + ([f"and {len(lost) - _NAMED_AT_MOST} more"] if len(lost) > _NAMED_AT_MOST else [])
    return [f"{len(repeats.done)} of {repeats.planned} repeats: {'; '.join(named)}"]


def _failure(trial: Record) -> str:
    reason = " ".join(str(trial.get("reason") or "").split())
    return f"seed {trial['seed']} {trial['status']} (trial {trial['trial_id']}{': ' + reason if reason else ''})"


def _gap_notes(samples: Mapping[tuple[Side, Column], Sequence[float]], n: int) -> list[str]:
    return [
        f"{column.name} {SIDE_LABELS[side]} holds {len(values)} of {n} finished repeats"
        for (side, column), values in samples.items()
        if len(values) < n
    ]


def _block(rows: Sequence[Row]) -> Block:
    cell = rows[0].cell
    columns = dict.fromkeys(column for row in rows for _, column in row.values)
    ordered = sorted(columns, key=lambda column: ("id_test", "ood", "mean_ood").index(column.role))
    return Block(cell.dataset, cell.model, cell.shots, tuple(ordered), tuple(rows))
