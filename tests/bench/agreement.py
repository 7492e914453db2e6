"""Whether two run folders of one search space found the same: selections, chosen alphas, and the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyp_sweep.results import make_table, read_evidence, render
from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.loading import load


@dataclass(frozen=True)
class Agreement:
    """What differs between two runs, by name; `largest` is in percentage points, over all numbers of the table."""

    selections: tuple[str, ...]
    alphas: tuple[str, ...]
    entries: tuple[str, ...]
    compared: int
    largest: float

    @property
    def complete(self) -> bool:
        return not (self.selections or self.alphas or self.entries)

    def __str__(self) -> str:
        if self.complete:
            return f"selections, alphas and all {self.compared} entries of the table are identical"
        return (
            f"DIFFERENT: {len(self.selections)} selections, {len(self.alphas)} alphas, {len(self.entries)} of "
            f"{self.compared} table entries, by at most {self.largest:.2f} points"
        )


def compare(one: Path, other: Path) -> Agreement:
    """Compare the runs in two folders; what only one of them has is a difference too."""
    runs = [RunFolder(path) for path in (one, other)]
    tables = [entries_of(run) for run in runs]
    means = [{name: float(entry["mean"]) for name, entry in table.items() if entry["mean"]} for table in tables]
    both = means[0].keys() & means[1].keys()
    return Agreement(
        selections=differing(*(selections_of(run) for run in runs)),
        alphas=differing(*(alphas_of(run) for run in runs)),
        entries=differing(*tables),
        compared=len(tables[0].keys() | tables[1].keys()),
        largest=100 * max((abs(means[0][name] - means[1][name]) for name in both), default=0.0),
    )


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """The names under which two mappings do not hold the same."""
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def selections_of(run: RunFolder) -> dict[str, Any]:
    """Cell -> the configuration that was selected, after seeing which trials, repeated by which."""
    chosen = ("config_id", "score", "configs", "seeds", "repeats")
    found = last_selections(run.ledger.load()).items()
    return {cell.key: [getattr(record, name) for name in chosen] + [sorted(record.searched)] for cell, record in found}


def alphas_of(run: RunFolder) -> dict[str, Any]:
    """Trial -> the alpha it chose."""
    return {name: record.alpha for name, record in trials_by_id(run.ledger.load()).items()}


def entries_of(run: RunFolder) -> dict[str, dict[str, str]]:
    """Row and column -> the table's entry: numbers at full precision, marks, and the trials behind them."""
    text = render(make_table([read_evidence(run, load(run.space).cells())]), "csv")
    where = ("table", "method", "dataset", "model", "shots", "column", "ensembling")
    return {" / ".join(line[name] for name in where): line for line in csv.DictReader(io.StringIO(text))}
