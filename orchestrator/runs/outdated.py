"""Finished trials that a changed space or changed data no longer match: which, why, and whether the user agrees."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.resume import CALIBRATION, Earlier, Finished
from flyp_sweep.results.durations import duration
from flyp_sweep.results.ledger.run_folder import RunFolder, is_unused
from flyp_sweep.results.ledger.schema import is_mixture
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted, show
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import SearchSpace, dataset_name
from flyp_sweep.search_spaces.roles import SHIFTED
from flyp_sweep.trainers.spec import FAILED, REPEAT, SEARCH, TrialSpec, digest

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
    """Why trials do not match: `told` in words, and in detail what was and what is.

    `fits` says that the trainings match: what changed belongs to evaluations. `values` are those of a setting, e.g.
    `from 1 to 2`.
    """

    told: str
    detail: str
    fits: bool = False
    values: str = ""


LACKING = Change(
    "metrics or predictions are missing",
    f"metrics that an earlier version lacked ({', '.join(sorted(CALIBRATION))}), or files of predictions/ are gone",
    fits=True,
)


@dataclass(frozen=True)
class Outdated:
    """The trials that have to run again, out of how many finished ones, and why.

    Those that are not `evaluated` alone are trained again: in `seconds`, and in `share` of the time of all.
    """

    trials: tuple[str, ...]
    finished: int
    changes: tuple[Change, ...]
    evaluated: int
    seconds: float
    share: float

    @property
    def trained(self) -> int:
        """How many trials are trained again."""
        return len(self.trials) - self.evaluated

    @property
    def lines(self) -> list[str]:
        """What a user is told: the trials and why, then every change with old and new; nothing if there is none."""
        if not self.trials:
            return []
        count = len(self.trials)
        head = f"{counted(count, 'finished trial')} no longer match{'es' * (count == 1)}: {self._why}"
        rest = f"  of {counted(self.finished, 'finished trial')}"
        if self.evaluated:
            rest += f"; {self.evaluated:,} will only be evaluated, with the weights that the run has kept"
        if self.trained:
            rest += f"; {self.trained:,} will be trained again, which takes {self.share:.0%} of the time of all"
            rest += f" ({duration(self.seconds)})"
        return [head, *(f"  {change.detail}" for change in self.changes), rest]

    def agree(self, yes: bool, ask: Callable[[str], bool] | None) -> None:
        """Raise InputError unless little is trained again, or the user agrees: before (`yes`), or asked by `ask`."""
        asked = f"train {counted(self.trained, 'trial')} again?"
        if self.share <= WORTH_ASKING or yes or (ask is not None and ask(asked)):
            return
        raise InputError(
            f"{self.trained:,} of {counted(self.finished, 'finished trial')} would be trained again ({self._why}); "
            "give --yes for that, undo the change, or use another run folder"
        )

    @property
    def because(self) -> str:
        """Why trials no longer match, with old and new, e.g. `train.epochs changed from 1 to 2`."""
        return ", ".join(dict.fromkeys(f"{change.told} {change.values}".strip() for change in self.changes))

    @property
    def _why(self) -> str:
        return ", ".join(dict.fromkeys(change.told for change in self.changes))


def outdated(
    earlier: Earlier,
    protocol: Protocol,
    before: SearchSpace | None,
    kept: Container[str] = (),
    *,
    all_metrics: bool = False,
) -> Outdated:
    """The finished trials that the sweep would run again, but for those that are known already.

    `before` is the search space that the run folder has followed so far, `kept` the trials whose fits it has. Trials of
    cells in which nothing is left to do, or which are no longer asked for, are no loss.
    """
    cells = {cell.plan.cell: cell for cell in protocol.cells}
    finished = [one for one in earlier.trials if one.outcome.status != FAILED and one.cell in cells]
    decided = {trial.trial_id for cell in protocol.cells for trial in cell.trials}
    other_search = {one.cell for one in finished if one.stage == SEARCH and one.outcome.trial_id not in decided}
    groups: dict[tuple[Cell, str, int, bool], list[Finished]] = defaultdict(list)
    for one in finished:
        if not cells[one.cell].over and one.outcome.trial_id not in earlier.superseded:
            lacking = all_metrics and not one.measured
            groups[one.cell, one.stage, id(one.settings), lacking].append(one)  # trials of a cell share their settings
    fits = Fits(earlier.trials, kept)
    found: list[Finished] = []
    trained: list[Finished] = []
    changes: dict[Change, None] = {}
    for (cell, _, _, lacking), group in groups.items():
        plan = cells[cell].plan
        why = [*changes_of(group[0], plan), *([LACKING] if lacking else [])]
        if not why and cell in other_search:
            group = [one for one in group if one.outcome.trial_id not in decided]
            why = _search_changes(before, plan.space) if group else []
        if why:
            found += group
            trained += [one for one in group if not (all(change.fits for change in why) and fits.has(one))]
            changes.update(dict.fromkeys(why))
    seconds = sum(map(_work, trained))
    share = seconds / sum(map(_work, finished)) if trained else 0.0
    trials = tuple(one.outcome.trial_id for one in found)
    return Outdated(trials, len(finished), tuple(changes), len(found) - len(trained), seconds, share)


class Fits:
    """Which finished trials a run has the fits of, `kept` by their ids. A mixture has that of its member."""

    def __init__(self, trials: Iterable[Finished], kept: Container[str]) -> None:
        self.kept = kept
        self.members = {(one.cell, one.seed): one.outcome.trial_id for one in trials if one.stage == REPEAT}

    def has(self, one: Finished) -> bool:
        of_member = is_mixture(one.cell, one.settings)
        trial_id = self.members.get((one.cell.base, one.seed)) if of_member else one.outcome.trial_id
        return trial_id in self.kept


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
            values = "" if name == "weights" else f"from {show(was)} to {show(now[name])}"
            yield Change(f"{label} changed", f"{label}: {show(was)} -> {show(now[name])}", values=values)
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
    others = [dataset_name(other) for other in plan.space.evaluate or ()]
    for split in differ:
        role = plan.data.roles[split]
        key = f"{name}.{f'{role}.' * (role in SHIFTED)}{split}"
        if any(split == other or split.startswith(f"{other}-") for other in others):
            key = f"evaluate.{split}"
        if split in was:
            told, detail = f"the images or labels of {key} changed", f"{key}: {was[split]} -> {wanted[split]}"
        else:
            told, detail = f"{key} was added", f"{key}: nothing -> {wanted[split]}"
        yield Change(told, detail, fits=split in data.evaluated)
    if trained_on != data.training and not set(differ) & set(data.fitted):
        told = f"class names, templates or metric of {name} changed"
        yield Change(told, f"{name}: {trained_on} -> {data.training}")


def _search_changes(before: SearchSpace | None, now: SearchSpace) -> list[Change]:
    """What makes a search ask for other configurations, key by key."""
    new = flat(now.search.model_dump(mode="json"))
    old = flat(before.search.model_dump(mode="json")) if before else new
    found = [
        Change(
            f"search.{key} changed",
            f"search.{key}: {show(old.get(key))} -> {show(new.get(key))}",
            values=f"from {show(old.get(key))} to {show(new.get(key))}",
        )
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
