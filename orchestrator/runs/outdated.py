"""Finished trials that a changed space or changed data no longer match: which, why, and whether the user agrees."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.resume import Earlier, Finished
from flyp_sweep.results.ledger.run_folder import RunFolder, is_unused
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted, show
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.spec import FAILED, SEARCH, TrialSpec, digest

WORTH_ASKING = 0.1
"""Share of the finished work that a sweep may do again without being asked to."""

KEYS = {
    "patience": "early_stopping.patience",
    "epoch_metric": "early_stopping.metric",
    "include_start": "early_stopping.include_start",
    "warmup_steps": "the steps of warm-up",
    "weights": "the weights of model",
    "alphas": "wise_ft.alphas",
    "frontier": "wise_ft.frontier",
}
"""Setting of a trial -> what it is called in a search space, where that is not `train.` and its own name."""
OF_REPEATS = ("alphas", "frontier")
TOLD_ELSEWHERE = ("cell", "stage", "seed", "hparams", "ingredients", "data", "splits")


@dataclass(frozen=True)
class Change:
    """Why trials do not match: `told` in words, and in detail what was and what is."""

    told: str
    detail: str


@dataclass(frozen=True)
class Outdated:
    """The trials that have to run again, out of how many finished ones, why, and their share of the time of all."""

    trials: tuple[str, ...]
    finished: int
    changes: tuple[Change, ...]
    share: float

    @property
    def lines(self) -> list[str]:
        """What a user is told: the trials and why, then every change with old and new; nothing if there is none."""
        if not self.trials:
            return []
        count = len(self.trials)
        head = f"{counted(count, 'finished trial')} no longer match{'es' * (count == 1)}: {self._why}"
        rest = f"  of {counted(self.finished, 'finished trial')}; running again takes {self.share:.0%} of their time"
        return [head, *(f"  {change.detail}" for change in self.changes), rest]

    def agree(self, yes: bool, ask: Callable[[str], bool] | None) -> None:
        """Raise InputError unless little runs again, or the user agrees: beforehand (`yes`), or when asked by `ask`."""
        count = len(self.trials)
        if self.share <= WORTH_ASKING or yes or (ask is not None and ask(f"run {counted(count, 'trial')} again?")):
            return
        raise InputError(
            f"{count:,} of {counted(self.finished, 'finished trial')} would run again ({self._why}); "
            "give --yes for that, undo the change, or choose another --out"
        )

    @property
    def _why(self) -> str:
        return ", ".join(change.told for change in self.changes)


def outdated(earlier: Earlier, protocol: Protocol, before: SearchSpace | None) -> Outdated:
    """The finished trials that the sweep would run again, but for those that are known already.

    `before` is the search space that the run folder has followed so far. Trials of cells in which nothing is left to
    do, or which are no longer asked for, are no loss.
    """
    cells = {cell.plan.cell: cell for cell in protocol.cells}
    finished = [one for one in earlier.trials if one.outcome.status != FAILED and one.cell in cells]
    decided = {trial.trial_id for cell in protocol.cells for trial in cell.trials}
    other_search = {one.cell for one in finished if one.stage == SEARCH and one.outcome.trial_id not in decided}
    groups: dict[tuple[Cell, str, int], list[Finished]] = defaultdict(list)
    for one in finished:
        if not cells[one.cell].over and one.outcome.trial_id not in earlier.superseded:
            groups[one.cell, one.stage, id(one.settings)].append(one)  # trials of a cell share their settings
    found: list[Finished] = []
    changes: dict[Change, None] = {}
    for (cell, _, _), group in groups.items():
        plan = cells[cell].plan
        why = list(changes_of(group[0], plan))
        if not why and cell in other_search:
            group = [one for one in group if one.outcome.trial_id not in decided]
            why = _search_changes(before, plan.space) if group else []
        if why:
            found += group
            changes.update(dict.fromkeys(why))
    share = sum(map(_work, found)) / sum(map(_work, finished)) if found else 0.0
    return Outdated(tuple(one.outcome.trial_id for one in found), len(finished), tuple(changes), share)


def _work(one: Finished) -> float:
    """The seconds that a trial took; old ledgers may lack them."""
    return max(one.seconds, 1e-3)


def changes_of(one: Finished, plan: CellPlan) -> Iterator[Change]:
    """What differs between a trial and one of its cell as it would be made now."""
    search = one.stage == SEARCH
    now = (plan.search_trial({}, 0) if search else plan.repeat_trial({}, 0)).to_json()
    for setting in fields(TrialSpec):
        name = setting.name
        if name in TOLD_ELSEWHERE or (search and name in OF_REPEATS):
            continue
        before = None if setting.default is MISSING else setting.default  # in ledgers older than the setting
        was = one.settings.get(name, before)
        if digest(was) != digest(now[name]):  # JSON has no tuples
            key = KEYS.get(name, f"train.{name}")
            label = f"{key} {plan.cell.model}" if name == "weights" else key
            yield Change(f"{label} changed", f"{label}: {show(was)} -> {show(now[name])}")
    yield from _data_changes(one, plan, f"dataset {plan.cell.dataset}" if len(plan.space.datasets) > 1 else "dataset")


def _data_changes(one: Finished, plan: CellPlan, name: str) -> Iterator[Change]:
    data = plan.data.identity
    was: Mapping[str, str] | None = one.settings.get("splits")
    trained_on = one.settings.get("data")
    if was is None and trained_on != data.training:
        told = f"{name} was identified without its images by an earlier version"
        yield Change(told, f"{name}: {show(trained_on)} -> {show(data.training)}")
        return
    was = was or {}
    wanted = dict(data.fitted) if one.stage == SEARCH else {**data.fitted, **data.evaluated}
    differ = [split for split, identity in wanted.items() if was.get(split) != identity]
    for split in differ:
        key = f"{name}.{'ood.' * (split in data.evaluated and split != 'id_test')}{split}"
        if split in was:
            yield Change(f"the images or labels of {key} changed", f"{key}: {was[split]} -> {wanted[split]}")
        else:
            yield Change(f"{key} was added", f"{key}: nothing -> {wanted[split]}")
    if trained_on != data.training and not set(differ) & set(data.fitted):
        told = f"class names, templates or metric of {name} changed"
        yield Change(told, f"{name}: {trained_on} -> {data.training}")


def _search_changes(before: SearchSpace | None, now: SearchSpace) -> list[Change]:
    """What makes a search ask for other configurations, key by key."""
    new = flat(now.search.model_dump(mode="json"))
    old = flat(before.search.model_dump(mode="json")) if before else new
    found = [
        Change(f"search.{key} changed", f"search.{key}: {show(old.get(key))} -> {show(new.get(key))}")
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]
    told = "the search asks for other configurations"
    return found or [Change(told, f"{told} than in an earlier version of flyp-sweep")]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping by key paths."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def space_before(path: Path, name: str) -> SearchSpace | None:
    """The search space that the run folder at `path` has followed so far; None where there is none yet.

    Raises InputError when the folder holds something else, or the run of a space of another name.
    """
    try:
        if is_unused(path):
            return None
        space = RunFolder(path).space
        before = load(space) if space.is_file() else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend that or choose another --out") from error
    if before is not None and before.name != name:
        raise InputError(
            f"{path}: found a run of search space {before.name!r}, expected {name!r}; choose another --out"
        )
    return before


def asking() -> Callable[[str], bool] | None:
    """A function that asks the user at the terminal; None where nobody sits at one."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    import click

    return click.confirm
