"""From a trial id in a table back to the trial: where it stands, and all that the ledger knows of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from flyp_sweep.results.ledger.file import last_selections, read_lines
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Measurement, Record, SelectionRecord, TrialRecord, same_alpha
from flyp_sweep.results.metrics import metric_of, percent
from flyp_sweep.search_spaces.errors import InputError

_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Traced:
    """A trial's record, the run that holds it, and the part it plays there in words."""

    run: str
    record: TrialRecord
    part: str


def find_trial(prefix: str, folders: Iterable[RunFolder]) -> Traced:
    """The one trial in `folders` whose id starts with `prefix`. Raises InputError when there is none, or several."""
    folders = list(folders)
    matches = [traced for folder in folders for traced in _found_in(folder, prefix)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        runs = ", ".join(folder.label for folder in folders) or "no run folder"
        raise InputError(f"found no trial {prefix!r} in {runs}; `flyp-sweep table RUN --trace` lists the ids")
    named = [f"{one.record.trial_id} ({one.run})" for one in matches[:_NAMED_AT_MOST]]
    more = f" and {len(matches) - _NAMED_AT_MOST} more" if len(matches) > _NAMED_AT_MOST else ""
    raise InputError(
        f"found {len(matches)} trials for {prefix!r}: {', '.join(named)}{more}; expected one: give more of the id, "
        "or --run"
    )


def _found_in(folder: RunFolder, prefix: str) -> Iterator[Traced]:
    """The trials of a run."""

    def keep(record: Record) -> Record | None:
        return record if isinstance(record, SelectionRecord) or record.trial_id.startswith(prefix) else None

    records = [record for record in read_lines(folder.ledger.path, keep) if record is not None]
    selections = last_selections(records)
    for record in records:
        if isinstance(record, TrialRecord):
            yield Traced(folder.label, record, _part(record, selections.get(record.cell)))


def _part(trial: TrialRecord, selection: SelectionRecord | None) -> str:
    if selection is not None and trial.trial_id in selection.repeats:
        return "a repeat of the selected configuration: its numbers stand in the table"
    if selection is not None and trial.trial_id in selection.searched:
        chosen = trial.config_id == selection.config_id
        return f"a trial of the search; its configuration was {'selected' if chosen else 'not selected'}"
    return "in no table: no selection names it"


def trial_view(traced: Traced) -> RenderableType:
    """All about a trial, for a `rich.console.Console`."""
    record = traced.record
    facts = {
        "trial": record.trial_id,
        "run": traced.run,
        "cell": record.cell.key,
        "stage": f"{record.stage}, {traced.part}",
        "seed": record.seed,
        "status": record.status + (f" ({record.reason})" if record.reason else ""),
        "configuration": record.config_id,
        "hyper-parameters": _pairs(record.hparams),
        "settings": _pairs(_settings(record)),
        "score": _score(record),
        "epochs": f"{record.epochs}, best {record.best_epoch}",
        "alpha": record.chosen_alpha,
        "took": f"{record.seconds} s, finished {record.finished}",
        "versions": _pairs(record.versions),
    }
    parts: list[RenderableType] = [_facts(facts)]
    if record.curve:
        parts += [Text(), Text("Epochs (ID validation)", style="bold"), _curve(record.curve)]
    numbers = list(record.measurements)
    for metric in dict.fromkeys(one.metric for one in numbers):
        own = [one for one in numbers if one.metric == metric]
        parts += [Text(), Text(_heading(metric, own), style="bold"), _evaluations(metric, own, record.chosen_alpha)]
    if record.log:
        parts += [Text(), Text("Log", style="bold"), Text(record.log)]
    return Group(*parts)


def _settings(record: TrialRecord) -> Mapping[str, Any]:
    """The settings in the words of the search space, where no choice of templates is `all`."""
    return {name: "all" if name == "templates" and value is None else value for name, value in record.settings.items()}


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"


def _score(record: TrialRecord) -> str:
    if record.score is None:
        return "none"
    loss = "" if record.loss is None else f", loss {record.loss:.4g}"
    return f"{percent(record.score)}% {record.metric or ''} on id_val{loss}"


def _facts(facts: Mapping[str, object]) -> Grid:
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, Text(str(value)))
    return grid


def _curve(curve: Sequence[Mapping[str, float]]) -> Grid:
    names = list(dict.fromkeys(name for point in curve for name in point))
    grid = _numbers(names)
    for point in curve:
        grid.add_row(*(_shown(name, point.get(name)) for name in names))
    return grid


def _shown(name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:g}" if name in ("epoch", "taken") else f"{value:.4g}" if name == "loss" else percent(value)


def _heading(metric: str, evaluations: Sequence[Measurement]) -> str:
    primary = any(one.is_primary for one in evaluations)
    return f"{metric_of(metric).heading}{', the primary metric' if primary else ''}"


def _evaluations(metric: str, evaluations: Sequence[Measurement], chosen: float | None) -> Grid:
    """A row per alpha, the chosen one starred, a column per split."""
    splits = list(dict.fromkeys(one.split for one in evaluations))
    values = {(one.alpha, one.split): one.value for one in evaluations}
    grid = _numbers(["alpha", *splits])
    for alpha in sorted({alpha for alpha, _ in values}):
        star = " *" if chosen is not None and same_alpha(alpha, chosen) else "  "
        found = [values.get((alpha, split)) for split in splits]
        grid.add_row(
            f"{alpha:g}{star}", *("-" if value is None else metric_of(metric).printed(value) for value in found)
        )
    return grid


def _numbers(names: Iterable[str]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        grid.add_column(Text(name), justify="right")
    return grid
