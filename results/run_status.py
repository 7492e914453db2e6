"""`flyp-sweep status`: how far a run has come, from its ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import SelectionRecord, TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import SearchSpace

FAILED = "failed"
_TOLD_OTHERWISE = ("warmup", "warmup_steps", "templates", "grad_clip")
"""Settings of training that a trial's line holds in another form than the search space."""
_OF_SOME_METHODS = {"label_smoothing": 0.0, "layer_decay": 1.0}
"""Settings of training that not all methods read, and what the lines of the others hold: these count as the same."""
_SINCE_LATER = {"randaugment": False}
"""What a line that lacks a setting was run with, where that differs from the other settings' `the same as now`."""


def status_table(folder: RunFolder) -> Table:
    """A row per cell: stage, trials by status, the best search score so far; below, why trials failed.

    Trials of an earlier version of the search space are counted apart, in a line below.
    """
    records, space = folder.ledger.load(), load(folder.space)
    every, selections = list(trials_by_id(records).values()), last_selections(records)
    cells = space.cells()
    trials = [trial for trial in every if trial.cell in cells and is_of(space, trial)]
    selections = {cell: one for cell, one in selections.items() if space.may_try(cell.base.method, one.hparams)}
    caption = Text("\n".join([*_failures(trials), *_left_out(len(every) - len(trials))]))
    table = Table(title=Text(folder.label), caption=caption, caption_justify="left", box=None)
    for heading in ("cell", "stage", "done", "stopped", "failed", "left", "best ID val %"):
        table.add_column(heading, justify="left" if heading in ("cell", "stage") else "right")
    stages: dict[Cell, str] = {}
    for cell in cells:
        own = [one for one in trials if one.cell == cell]
        stages[cell] = _stage(space, cell, own, selections.get(cell), stages)
        table.add_row(Text(cell.key), stages[cell], *_numbers(own, selections.get(cell)))
    return table


def is_of(space: SearchSpace, trial: TrialRecord) -> bool:
    """Whether a trial was run with the settings that `space` now has, and within what it now searches."""
    stopping, clip = space.early_stopping, space.train.grad_clip_of(trial.cell.base.method)
    stops = {"patience": stopping.epochs, "epoch_metric": stopping.metric, "include_start": stopping.include_start}
    views = {"flip": space.train.flips, "randaugment": space.train.augmentation == "randaugment"}
    now = {**space.train.model_dump(mode="json"), **views, **stops}
    told = {name: value for name, value in now.items() if name not in _TOLD_OTHERWISE}
    is_same = all(
        trial.settings.get(name, _SINCE_LATER.get(name, value)) in (value, _OF_SOME_METHODS.get(name, value))
        for name, value in told.items()
    )
    # A method that is not trained by gradients has no bound, whatever the space says.
    may_be = space.may_try(trial.cell.base.method, trial.hparams)
    return is_same and may_be and trial.settings.get("grad_clip") in (None, clip)


def _stage(
    space: SearchSpace,
    cell: Cell,
    trials: Sequence[TrialRecord],
    selection: SelectionRecord | None,
    stages: Mapping[Cell, str],
) -> str:
    if selection is not None:
        if _left(trials, selection):
            return "repeat"
        ended = {trial.trial_id: trial.status for trial in trials}
        return FAILED if all(ended[trial_id] == FAILED for trial_id in selection.repeats) else "done"
    if cell.ensemble:
        return FAILED if stages.get(cell.base) == FAILED else "waits"
    planned = (space.search.num_samples or 0) * space.search.seeds
    lost = len(trials) >= planned > 0 and all(trial.status == FAILED for trial in trials)
    return FAILED if lost else "search"


def _left(trials: Sequence[TrialRecord], selection: SelectionRecord) -> set[str]:
    """The repeats of a winner that are not over: a trial is when it failed, or was evaluated on all that counts."""
    return set(selection.repeats) - {
        one.trial_id
        for one in trials
        if one.status == FAILED or all(selection.counts(one.settings, split) for split in selection.evaluated)
    }


def _numbers(trials: Sequence[TrialRecord], selection: SelectionRecord | None) -> list[str]:
    counts = Counter[str](trial.status for trial in trials)
    left = len(_left(trials, selection)) if selection else None
    # A method without hyper-parameters is not searched.
    compared = "search" if any(trial.stage == "search" for trial in trials) else "repeat"
    scores = [trial.score for trial in trials if trial.score is not None and trial.stage == compared]
    best = f"{100 * max(scores):.1f}" if scores else "-"
    done = [str(counts[name]) for name in ("done", "stopped", FAILED)]
    return [*done, "?" if left is None else str(left), best]


def _failures(trials: Sequence[TrialRecord]) -> list[str]:
    lost = [trial for trial in trials if trial.status == FAILED]
    return [f"failed {trial.trial_id} {trial.cell.key}: {trial.reason}" for trial in lost]


def _left_out(count: int) -> list[str]:
    return [f"not counted: {counted(count, 'trial')} of an earlier version of the search space"] if count else []
