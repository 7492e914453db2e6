"""What tables need of a ledger: its selections, and of its trials who they are and their numbers at two alphas.

A ledger of 100,000 trials holds millions of evaluations, of which a table shows few: the others are let go of line by
line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from flyp_sweep.results.analysis.example_values import ExampleValues
from flyp_sweep.results.ledger.file import Interner, last_selections, read_hashed, recorded_labels
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Record, SelectionRecord, SplitRecord, TrialRecord, is_mixture, same_alpha
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.roles import REPORTED

Side = Literal["without", "with"]

SIDES: tuple[Side, Side] = ("without", "with")
SIDE_LABELS: dict[Side, str] = {"without": "without ensembling", "with": "with ensembling"}

WATCHED = "OOD val."
"""How the headings of OOD validation splits begin."""


class Measure(NamedTuple):
    """What was measured of a trial at one alpha: a split, its role, a metric.

    Of a metric that each group or corruption of a split has, `part` is the group or the corruption.
    """

    split: str
    role: str
    metric: str
    part: str = ""

    @property
    def heading(self) -> str:
        """What a column of it is called: that of OOD validation says so, whatever the split's name."""
        if self.role == "ood_val":
            split = WATCHED if self.split == "ood_val" else f"{WATCHED} {self.split}"
        else:
            split = "ID" if self.role == "id_test" else self.split
        return f"{split} {self.part}" if self.part else split


Numbers = Mapping[Measure, float]


class Trial(msgspec.Struct, frozen=True):
    """A finished trial. `numbers` holds, per side, one metric of each split with a role of REPORTED.

    Without ensembling is alpha = 1, with ensembling the alpha that the trial chose on id_val; the zero-shot model has
    the same numbers on both sides, a mixture none without: there it is the repeat that it is made of, which has a row
    of its own. A search trial has none. `lacking` names the splits that do not have the metric.
    """

    trial_id: str
    cell: Cell
    stage: str
    seed: int
    config_id: str
    status: str
    reason: str | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    numbers: Mapping[Side, Numbers]
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """A ledger, read for tables: trials by id, the last selection of each cell, and what else a table is said to be of.

    `planned` names cells that may have no line in the ledger yet; its order is that of methods which the paper's tables
    lack. `sha256` is that of the ledger's bytes, empty when it did not come from a file. `metric` is that of all
    numbers; None: the primary metric of each split. `examples` are the values behind the numbers, of a run in a folder.
    """

    run: str
    trials: Mapping[str, Trial]
    selections: Mapping[Cell, SelectionRecord]
    planned: tuple[Cell, ...] = ()
    sha256: str = ""
    metric: str | None = None
    examples: ExampleValues | None = None

    @cached_property
    def labels(self) -> dict[str, str]:
        """Method -> its label, of those that have a selection."""
        return recorded_labels(self.selections.values())


def read_evidence(
    run: RunFolder, planned: Iterable[Cell] = (), name: str | None = None, metric: str | None = None
) -> Evidence:
    """The evidence in the ledger of a run folder; errors as in `ledger.file.read_lines`.

    `planned` cells have a row in tables even before they have a line in the ledger. `metric` is a key of
    `results.metrics.METRICS`, in place of the primary metric of each split.
    """
    shared = Interner(curves=False)
    kept, sha256 = read_hashed(run.ledger.path, lambda record: _kept(shared(record), metric))
    return replace(_evidence(kept, name or run.name, planned, sha256, metric), examples=ExampleValues(run))


def evidence_of(
    records: Iterable[Record],
    run: str = "run",
    planned: Iterable[Cell] = (),
    sha256: str = "",
    metric: str | None = None,
) -> Evidence:
    """The evidence of records that are in memory; `sha256` is that of the ledger that they were read from."""
    return _evidence((_kept(record, metric) for record in records), run, planned, sha256, metric)


def _kept(record: Record, metric: str | None) -> Trial | SelectionRecord:
    """What the evidence keeps of a record."""
    return record if isinstance(record, SelectionRecord) else _trial(record, metric)


def _evidence(
    kept: Iterable[Trial | SelectionRecord], run: str, planned: Iterable[Cell], sha256: str, metric: str | None
) -> Evidence:
    kept = list(kept)
    trials = {one.trial_id: one for one in kept if isinstance(one, Trial)}
    selections = last_selections(one for one in kept if isinstance(one, SelectionRecord))
    for selection in selections.values():
        for trial_id in selection.repeats:
            if trial_id in trials:
                trials[trial_id] = _counting(trials[trial_id], selection)
    return Evidence(run, trials, selections, tuple(planned), sha256, metric)


def _counting(trial: Trial, selection: SelectionRecord) -> Trial:
    """The trial with those of its numbers that count for its cell."""
    numbers = {
        side: {measure: value for measure, value in held.items() if selection.counts(trial.settings, measure.split)}
        for side, held in trial.numbers.items()
    }
    lacking = tuple(split for split in trial.lacking if selection.counts(trial.settings, split))
    return msgspec.structs.replace(trial, numbers=numbers, lacking=lacking)


def _trial(record: TrialRecord, metric: str | None) -> Trial:
    is_repeat = record.stage == "repeat"
    return Trial(
        record.trial_id,
        record.cell,
        record.stage,
        record.seed,
        record.config_id,
        record.status,
        record.reason,
        record.settings,
        record.versions,
        _numbers(record, metric) if is_repeat else {},
        _lacking(record, metric) if is_repeat and metric else (),
    )


@lru_cache(maxsize=4096)
def _measure(split: str, role: str, metric: str, part: str) -> Measure:
    return Measure(split, role, metric, part)


def _asked(one: SplitRecord, metric: str | None) -> Iterator[tuple[str, str]]:
    """The names in the ledger of the metrics that are asked for, and which part of the split each is of."""
    name = metric or one.primary
    if name in one.metrics:
        yield name, ""
    elif "/" not in name:
        yield from ((held, held.removeprefix(f"{name}/")) for held in one.metrics if held.startswith(f"{name}/"))


def _numbers(trial: TrialRecord, metric: str | None) -> dict[Side, Numbers]:
    """Per side the numbers of the reported splits. Raises InputError when a split has two of them."""
    if trial.cell.method == ZEROSHOT:
        only = _numbers_at(0.0, trial, metric)
        return {"without": only, "with": only}
    chosen = {} if trial.alpha is None else _numbers_at(trial.alpha, trial, metric)
    if is_mixture(trial.cell, trial.settings):
        return {"without": {}, "with": chosen}
    return {"without": chosen if trial.alpha == 1.0 else _numbers_at(1.0, trial, metric), "with": chosen}


def _numbers_at(alpha: float, trial: TrialRecord, metric: str | None) -> Numbers:
    shown = _splits_at(alpha, trial)
    numbers = {
        _measure(one.split, one.role, metric or one.primary, part): one.metrics[name]
        for one in shown
        for name, part in _asked(one, metric)
    }
    if len({one.split for one in shown}) < len(shown):
        split = Counter(one.split for one in shown).most_common(1)[0][0]
        raise InputError(
            f"trial {trial.trial_id}: found two primary numbers for {split} at alpha {alpha:g}, expected one; "
            "restore or delete its line in the ledger"
        )
    return numbers


def _splits_at(alpha: float, trial: TrialRecord) -> list[SplitRecord]:
    """The reported splits at one alpha."""
    at_alpha = [one.splits for one in trial.evaluations if one.alpha == alpha]
    if not at_alpha:  # an alpha that was computed in another way, or null
        at_alpha = [one.splits for one in trial.evaluations if same_alpha(one.alpha or 0.0, alpha)]
    return [one for splits in at_alpha for one in splits if one.role in REPORTED]


def _lacking(trial: TrialRecord, metric: str) -> tuple[str, ...]:
    """The reported splits without the metric at an alpha that a table shows."""
    alphas = {trial.chosen_alpha, None if is_mixture(trial.cell, trial.settings) else 1.0} - {None}
    shown = [one for alpha in alphas if alpha is not None for one in _splits_at(alpha, trial)]
    return tuple(dict.fromkeys(one.split for one in shown if not any(_asked(one, metric))))
