"""`flyp-sweep status`: how far a run has come, from its ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from flyp_sweep.results.ledger.file import last_selections
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Record, cell_of
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.loading import load


def status_table(folder: RunFolder) -> Table:
    """A row per cell: stage, trials by status, the best search score so far; below, why trials failed."""
    records = folder.records()
    selections = last_selections(records)
    table = Table(title=folder.label, caption=Text(_failures(records)), caption_justify="left", box=None)
    for heading in ("cell", "stage", "done", "stopped", "failed", "left", "best ID val %"):
        table.add_column(heading, justify="left" if heading in ("cell", "stage") else "right")
    for cell in load(folder.space).cells():
        table.add_row(*_row(cell, [one for one in records if cell_of(one) == cell], selections.get(cell)))
    return table


def _row(cell: Cell, records: Sequence[Record], selection: Record | None) -> list[str]:
    trials = [record for record in records if record["kind"] == "trial"]
    counts = Counter(record["status"] for record in trials)
    finished = {record["trial_id"] for record in trials}
    left = len(set(selection["repeats"]) - finished) if selection else None
    stage = ("waits" if cell.ensemble else "search") if selection is None else "repeat" if left else "done"
    stages = {record["stage"] for record in trials}
    compared = "search" if "search" in stages else "repeat"  # a method without hyper-parameters is not searched
    scores = [record["score"] for record in trials if record["score"] is not None and record["stage"] == compared]
    best = f"{100 * max(scores):.1f}" if scores else "-"
    numbers = [str(counts[status]) for status in ("done", "stopped", "failed")]
    return [cell.key, stage, *numbers, "?" if left is None else str(left), best]


def _failures(records: Sequence[Record]) -> str:
    failed = [one for one in records if one["kind"] == "trial" and one["status"] == "failed"]
    return "\n".join(f"failed {one['trial_id']} {cell_of(one).key}: {one['reason']}" for one in failed)
