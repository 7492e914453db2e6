"""What the report shows of every cell: its winner, what its stages cost, and its trials, a row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyp_sweep.results.analysis.cells import CellResult, cell_results
from flyp_sweep.results.analysis.evidence import SIDES, Measure, Trial
from flyp_sweep.results.analysis.search_edges import edges_of
from flyp_sweep.results.ledger.file import last_selections
from flyp_sweep.results.ledger.schema import SelectionRecord, TrialRecord
from flyp_sweep.results.naming import block_title
from flyp_sweep.results.report.run import Run
from flyp_sweep.search_spaces.cell import Cell


@dataclass(frozen=True)
class TrialRow:
    """One trial. `hparams` stand in the order of the cell's `hparams`, `values` in that of its `columns`."""

    trial_id: str
    seed: int
    status: str
    is_selected: bool
    hparams: tuple[Any, ...]
    score: float | None
    loss: float | None
    epochs: str
    alpha: float | None
    seconds: float
    values: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class CellView:
    """One cell. `anchor` is unique on the page; `edges` names the hyper-parameters whose winner lies on an edge."""

    anchor: str
    run: str
    block: str
    method: str
    state: str
    selection: SelectionRecord | None
    hparams: tuple[str, ...]
    edges: frozenset[str]
    planned: int
    done: int
    seconds: Mapping[str, float]
    columns: tuple[str, ...]
    repeats: tuple[TrialRow, ...]
    searched: tuple[TrialRow, ...]
    others: tuple[TrialRow, ...]


def cell_views(run: Run, index: int) -> list[CellView]:
    """A view of every cell of a run, the run being number `index` on the page."""
    selections = last_selections(run.records)
    edges = edges_of(run.searches)
    by_cell: dict[Cell, list[TrialRecord]] = {}
    for trial in run.trials:
        by_cell.setdefault(trial.cell, []).append(trial)
    return [
        _view(
            f"{index}-{at}",
            result,
            by_cell.get(result.cell, []),
            selections.get(result.cell),
            frozenset(edge.hparam for edge in edges if edge.cell == result.cell),
            run,
        )
        for at, result in enumerate(cell_results(run.evidence))
    ]


def _view(
    anchor: str,
    result: CellResult,
    trials: Sequence[TrialRecord],
    selection: SelectionRecord | None,
    edges: frozenset[str],
    run: Run,
) -> CellView:
    cell = result.cell
    hparams = tuple(dict.fromkeys(name for trial in trials for name in trial.hparams))
    repeated = set(selection.repeats) if selection else set[str]()
    searched = set(selection.searched) if selection else {one.trial_id for one in trials}
    planned = repeated | searched
    winner = selection.config_id if selection else None
    columns = [(side, measure) for measure in result.measures for side in SIDES]
    rows = {
        trial.trial_id: _row(trial, hparams, winner, _values(run.evidence.trials[trial.trial_id], columns))
        for trial in trials
    }
    seconds = {"search": 0.0, "repeat": 0.0}
    for trial in trials:
        seconds[trial.stage] += trial.seconds
    return CellView(
        anchor=anchor,
        run=run.name,
        block=block_title(cell.dataset, cell.model, cell.shots),
        method=result.label,
        state=result.state,
        selection=selection,
        hparams=hparams,
        edges=edges,
        planned=result.planned,
        done=result.n,
        seconds=seconds,
        columns=tuple(f"{measure.heading} {side}" for side, measure in columns),
        repeats=tuple(sorted((row for name, row in rows.items() if name in repeated), key=lambda row: row.seed)),
        searched=tuple(row for name, row in rows.items() if name in searched),
        others=tuple(row for name, row in rows.items() if name not in planned),
    )


def _values(trial: Trial, columns: Sequence[tuple[Any, Measure]]) -> tuple[float | None, ...]:
    return tuple(trial.numbers.get(side, {}).get(measure) for side, measure in columns)


def _row(trial: TrialRecord, hparams: Sequence[str], winner: str | None, values: tuple[float | None, ...]) -> TrialRow:
    return TrialRow(
        trial_id=trial.trial_id,
        seed=trial.seed,
        status=trial.status,
        is_selected=trial.config_id == winner,
        hparams=tuple(trial.hparams.get(name) for name in hparams),
        score=trial.score,
        loss=trial.loss,
        epochs="-" if trial.epochs is None else f"{trial.best_epoch} of {trial.epochs}",
        alpha=trial.chosen_alpha,
        seconds=trial.seconds,
        values=values,
    )
