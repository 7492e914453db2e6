"""`flyp-sweep status`: how far a run has come, from its ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import SelectionRecord, TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.loading import load


def status_table(folder: RunFolder) -> Table:
    """A row per cell: stage, trials by status, the best search score so far; below, why trials failed."""
    records = folder.ledger.load()
    trials, selections = list(trials_by_id(records).values()), last_selections(records)
    table = Table(title=folder.label, caption=Text(_failures(trials)), caption_justify="left", box=None)
    for heading in ("cell", "stage", "done", "stopped", "failed", "left", "best ID val %"):
        table.add_column(heading, justify="left" if heading in ("cell", "stage") else "right")
    for cell in load(folder.space).cells():
        table.add_row(*_row(cell, [one for one in trials if one.cell == cell], selections.get(cell)))
    return table


def _row(cell: Cell, trials: Sequence[TrialRecord], selection: SelectionRecord | None) -> list[str]:
    counts = Counter(trial.status for trial in trials)
    left = (
        len(set(selection.repeats) - {one.trial_id for one in trials if _is_whole(one, selection)})
        if selection
        else None
    )
    stage = ("waits" if cell.ensemble else "search") if selection is None else "repeat" if left else "done"
    # A method without hyper-parameters is not searched.
    compared = "search" if any(trial.stage == "search" for trial in trials) else "repeat"
    scores = [trial.score for trial in trials if trial.score is not None and trial.stage == compared]
    best = f"{100 * max(scores):.1f}" if scores else "-"
    return [
        cell.key,
        stage,
        str(counts["done"]),
        str(counts["stopped"]),
        str(counts["failed"]),
        "?" if left is None else str(left),
        best,
    ]


def _is_whole(trial: TrialRecord, selection: SelectionRecord) -> bool:
    """Whether a trial has failed, or was evaluated on all that counts for its cell."""
    return trial.status == "failed" or all(selection.counts(trial.settings, split) for split in selection.evaluated)


def _failures(trials: Sequence[TrialRecord]) -> str:
    return "\n".join(
        f"failed {trial.trial_id} {trial.cell.key}: {trial.reason}" for trial in trials if trial.status == "failed"
    )
