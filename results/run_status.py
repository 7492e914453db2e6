"""How far a run has come: from its ledger, and from what its driver tells of the trials that run now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyp_sweep.results.durations import seconds_ago, utc_now
from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.running_trials import RunningTrial, read_running, read_sweep
from flyp_sweep.results.ledger.schema import SelectionRecord, TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import SearchSpace

FAILED = "failed"
_TOLD_OTHERWISE = ("warmup", "warmup_steps", "templates", "grad_clip")
"""Settings of training that a trial's line holds in another form than the search space."""
_OF_SOME_METHODS = {"label_smoothing": 0.0, "layer_decay": 1.0}
"""Settings of training that not all methods read, and what the lines of the others hold: these count as the same."""
_SINCE_LATER = {"randaugment": False}
"""What a line that lacks a setting was run with, where that differs from the other settings' `the same as now`."""


@dataclass(frozen=True)
class Driver:
    """The process that runs a sweep; `since` is a UTC time in ISO form."""

    host: str
    pid: int
    since: str


@dataclass(frozen=True)
class CellStatus:
    """A cell: its stage, its trials by status, those left (None: not known yet), its best score on `id_val` so far."""

    cell: Cell
    stage: str
    done: int
    stopped: int
    failed: int
    left: int | None
    best_score: float | None


@dataclass(frozen=True)
class RunStatus:
    """How far a run has come, at the UTC time `at`.

    `driver` is the one that runs now (None: none does); where the run folder is in a store, `driver_known` is False, as
    its driver and running trials are seen from the driver's machine alone. `left_behind` counts the trials that a
    driver left which was killed. `not_counted` counts the trials of an earlier version of the search space.
    """

    label: str
    at: str
    cells: list[CellStatus]
    failures: list[TrialRecord]
    not_counted: int
    driver: Driver | None = None
    driver_known: bool = True
    running: list[RunningTrial] = field(default_factory=list)
    left_behind: int = 0
    planned: int | None = None
    seconds_left: float | None = None
    at_least: bool = False

    @property
    def ended(self) -> int:
        """The trials that have ended, in any way."""
        return sum(one.done + one.stopped + one.failed for one in self.cells)


def read_status(folder: RunFolder, driver: Driver | None = None, *, driver_known: bool = True) -> RunStatus:
    """The status of a run, from its ledger and, while the `driver` lives, from the files of its running trials."""
    records, space = folder.ledger.load(), load(folder.space)
    every, selections = list(trials_by_id(records).values()), last_selections(records)
    cells = space.cells()
    trials = [trial for trial in every if trial.cell in cells and is_of(space, trial)]
    selections = {cell: one for cell, one in selections.items() if space.may_try(cell.base.method, one.hparams)}
    running, sweep = read_running(folder.running), read_sweep(folder.running) if driver else None
    planned = {one.cell: one.trials for one in sweep.cells} if sweep else {}
    of_cell: defaultdict[Cell, list[TrialRecord]] = defaultdict(list)
    for trial in trials:
        of_cell[trial.cell].append(trial)
    stages: dict[Cell, str] = {}
    found = []
    for cell in cells:
        own = of_cell[cell]
        stages[cell] = _stage(space, cell, own, selections.get(cell), stages)
        found.append(_cell_status(cell, stages[cell], own, selections.get(cell), planned.get(cell)))
    left = sweep.seconds_left if sweep else None
    return RunStatus(
        label=folder.label,
        at=utc_now(),
        cells=found,
        failures=[trial for trial in trials if trial.status == FAILED],
        not_counted=len(every) - len(trials),
        driver=driver,
        driver_known=driver_known,
        running=running if driver else [],
        left_behind=0 if driver else len(running),
        planned=sum(planned.values()) if sweep else None,
        seconds_left=None if left is None or sweep is None else max(0.0, left - seconds_ago(sweep.updated)),
        at_least=sweep.at_least if sweep else False,
    )


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


def _cell_status(
    cell: Cell, stage: str, trials: Sequence[TrialRecord], selection: SelectionRecord | None, planned: int | None
) -> CellStatus:
    counts = Counter[str](trial.status for trial in trials)
    left = len(_left(trials, selection)) if selection else None
    if left is None and planned is not None:
        left = 0 if stage == FAILED else max(0, planned - len(trials))
    # A method without hyper-parameters is not searched.
    compared = "search" if any(trial.stage == "search" for trial in trials) else "repeat"
    scores = [trial.score for trial in trials if trial.score is not None and trial.stage == compared]
    best = max(scores, default=None)
    return CellStatus(cell, stage, counts["done"], counts["stopped"], counts[FAILED], left, best)
