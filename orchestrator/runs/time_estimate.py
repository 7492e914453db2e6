"""How long a sweep will take on this machine, from the times of earlier trials in this run and its siblings."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from flyp_sweep.orchestrator.engine.resources import share_of, this_machine, trials_at_once
from flyp_sweep.orchestrator.protocol.algorithms import planned_searches
from flyp_sweep.orchestrator.protocol.cells import CellProtocol
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.results.durations import duration
from flyp_sweep.results.ledger.run_folder import LEDGER
from flyp_sweep.results.ledger.schema import Malformed, TrialRecord, decode
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted, one_of
from flyp_sweep.trainers.hardware import machine
from flyp_sweep.trainers.spec import FAILED, REPEAT, SEARCH

MOST_LEDGERS, MOST_BYTES = 10, 4 << 20
"""Ledgers that are read, the latest first, and the bytes at the end of each: the start of a run waits for this."""
MOST_NAMED = 3
"""Runs, and models, that are told."""
ALIKE = ("batch_size", "precision", "compile", "micro_batch")
ALIKE_REPEATS = (*ALIKE, "alphas", "frontier")
"""Settings that decide how long an epoch takes, and the evaluation of a repeat."""
HARDWARE = ("cpu", "cores", "processes", "threads")

Stage = tuple[Cell, str]


@dataclass(frozen=True)
class Estimate:
    """The time of the trials that are left, as far as it is known.

    `seconds` are those of all trials one after the other, `at_once` is how many run at the same time. They come from
    `trials` earlier trials in `runs`. `unknown` names the methods of whose trials nothing is known, by their models.
    """

    seconds: float
    at_once: int
    trials: int
    runs: tuple[str, ...]
    unknown: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        unknown = [f"{one_of(labels)} with {model}" for model, labels in self.unknown.items()][:MOST_NAMED]
        lacking = f"no earlier trial of {', nor of '.join(unknown)} on these data and this machine" if unknown else ""
        wall = self.seconds / self.at_once
        if not self.trials or (lacking and wall < 1):  # "more than 0 s" would say nothing
            return f"no estimate of time: {lacking}"
        parallel = f", {counted(self.at_once, 'trial')} at once" if self.at_once > 1 else ""
        more = f" and {len(self.runs) - MOST_NAMED} more" if len(self.runs) > MOST_NAMED else ""
        source = f"{counted(self.trials, 'earlier trial')} in {', '.join(self.runs[:MOST_NAMED])}{more}"
        if lacking:
            return f"time: more than {duration(wall)}{parallel}, estimated from {source}; {lacking}"
        return f"time: {duration(max(1.0, wall))} at most{parallel}, estimated from {source}"


class Past(NamedTuple):
    """An earlier trial that counts: the `seconds` that one of all epochs takes by it, and the run that it was in."""

    seconds: float
    run: str
    same_epochs: bool


def estimate(protocol: Protocol, run: Path) -> Estimate | None:
    """The estimate for all that is left of a sweep in the run folder `run`, there or not; None where nothing is left.

    A trial counts if the same cell was run by the same kind of machine, with settings that take the same time. Its
    seconds per epoch stand for those of a trial of all epochs, so a sweep in which trials end early takes less.
    """
    left = {(cell.plan.cell, stage): count for cell in protocol.cells for stage, count in _left(cell) if count}
    if not left:
        return None
    plans = {cell.plan.cell: cell.plan for cell in protocol.cells}
    here = this_machine()
    wanted = share_of(protocol.cells[0].plan.space, [here])
    kind = {**machine("cpu", wanted.threads, wanted.world), "gpu": bool(wanted.gpu)}
    past = _past_trials(run, {(cell, stage): plans[cell] for cell, stage in left}, kind)
    unknown: dict[str, dict[str, None]] = {}
    for (cell, _), found in past.items():
        if not found:
            unknown.setdefault(cell.model, {})[plans[cell].label] = None
    used = [one for found in past.values() for one in found]
    return Estimate(
        sum(left[stage] * statistics.median(one.seconds for one in found) for stage, found in past.items() if found),
        max(1, min(trials_at_once(wanted, [here]), sum(left.values()))),
        len(used),
        tuple(dict.fromkeys(one.run for one in used)),
        {model: tuple(labels) for model, labels in unknown.items()},
    )


def _past_trials(run: Path, plans: Mapping[Stage, CellPlan], kind: Mapping[str, Any]) -> dict[Stage, list[Past]]:
    """The earlier trials of each stage of these `plans`, in this run and beside it, on a machine of this `kind`.

    If some were to have as many epochs as the plan's, these count alone: their times hold what a trial takes besides.
    """
    settings = {stage: _deciding(plan, stage[1]) for stage, plan in plans.items()}
    found: dict[Stage, dict[str, Past]] = {stage: {} for stage in plans}
    for ledger in _ledgers(run):
        for trial in _last_trials(ledger):
            stage: Stage = (trial.cell, trial.stage)
            if stage in plans and _is_on(trial.machine, kind) and _has(trial, settings[stage]):
                plan, known = plans[stage], found[stage].get(trial.trial_id)
                same_epochs = trial.settings.get("epochs") == plan.space.train.epochs
                one = Past(_seconds(trial, plan), str(ledger.parent), same_epochs)
                if known is None or one.seconds > known.seconds:  # a repeat may later have been evaluated alone
                    found[stage][trial.trial_id] = one
    held = {stage: list(trials.values()) for stage, trials in found.items()}
    return {stage: [one for one in trials if one.same_epochs] or trials for stage, trials in held.items()}


def _left(cell: CellProtocol) -> Iterator[tuple[str, int]]:
    """How many trials of each stage a cell still has, at most."""
    if cell.over:
        return
    if cell.selection is None:
        yield SEARCH, planned_searches(cell.plan) - (len(cell.searched) - len(cell.open))
    yield REPEAT, len(cell.open) if cell.selection else len(cell.plan.repeat_seeds)


def _ledgers(run: Path) -> list[Path]:
    """The ledger of the run and those of its siblings that were last written, its own first."""
    own = run / LEDGER
    others = [path for path in run.absolute().parent.glob(f"*/{LEDGER}") if path != own.absolute()]
    dated = sorted(((at, path) for path in others if (at := _written(path))), reverse=True)
    siblings = [run.parent / path.parent.name / LEDGER for _, path in dated]
    return [*([own] if _written(own) else []), *siblings][:MOST_LEDGERS]


def _written(path: Path) -> float:
    """When a file was last written; 0 where there is none to read."""
    try:
        return path.stat().st_mtime if os.access(path, os.R_OK) else 0.0
    except OSError:
        return 0.0


def _last_trials(ledger: Path) -> Iterator[TrialRecord]:
    """The trials at the end of a ledger that did not fail. Lines that cannot be read are passed over."""
    try:
        with ledger.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - MOST_BYTES)
            file.seek(start)
            lines = file.read().splitlines()[1 if start else 0 :]
    except OSError:
        return
    for line in lines:
        try:
            record = decode(line)
        except Malformed:
            continue
        if isinstance(record, TrialRecord) and record.status != FAILED:
            yield record


def _is_on(found: Mapping[str, Any] | None, here: Mapping[str, Any]) -> bool:
    """Whether a trial ran on a machine such as this one, with as many threads."""
    return (
        found is not None
        and bool(found.get("gpu")) == here["gpu"]
        and all(found.get(name) == here[name] for name in HARDWARE)
    )


def _deciding(plan: CellPlan, stage: str) -> dict[str, Any]:
    """The settings of a trial of the plan that decide over its time, as a ledger holds them."""
    now = (plan.search_trial({}, 0) if stage == SEARCH else plan.repeat_trial({}, 0)).to_json()
    return {name: now[name] for name in (ALIKE if stage == SEARCH else ALIKE_REPEATS)}


def _has(trial: TrialRecord, settings: Mapping[str, Any]) -> bool:
    """Whether a trial was run with these settings; one that its line lacks is no matter."""
    return all(trial.settings.get(name, value) == value for name, value in settings.items())


def _seconds(trial: TrialRecord, plan: CellPlan) -> float:
    """What a trial of the plan takes, going by an earlier one: as many epochs as there may be."""
    epochs = plan.space.train.epochs / trial.epochs if trial.epochs and plan.method.trained else 1.0
    return float(trial.seconds) * epochs
