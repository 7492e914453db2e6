"""Whether two run folders of one search space found the same: selections, chosen alphas, and the table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from flyp_sweep.results import make_table, read_evidence, render
from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.loading import load


def told_differences(one: Path, other: Path) -> str:
    """For a note on two runs: what differs, if anything does."""
    found = differences(one, other)
    if not found:
        return "selections, alphas and all entries of the table are identical"
    return f"DIFFERENT in {len(found)} places, the first: {found[0]}"


def differences(one: Path, other: Path) -> list[str]:
    """The names of all that two runs do not have in common; what only one of them has is a difference, too."""
    ours, theirs = facts(RunFolder(one)), facts(RunFolder(other))
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def facts(run: RunFolder) -> dict[str, Any]:
    """What is selected after which trials, the alpha of every trial, and every line of the table at full precision."""
    records = run.ledger.load()
    chosen = ("config_id", "score", "configs", "seeds", "repeats")
    found: dict[str, Any] = {
        f"selection of {cell.key}": [getattr(record, name) for name in chosen] + [sorted(record.searched)]
        for cell, record in last_selections(records).items()
    }
    found |= {f"alpha of {name}": record.alpha for name, record in trials_by_id(records).items()}
    text = render(make_table([read_evidence(run, load(run.space).cells())]), "csv")
    where = ("table", "method", "dataset", "model", "shots", "column", "ensembling")
    lines = csv.DictReader(io.StringIO(text))
    return found | {"entry of " + " / ".join(line[name] for name in where): line for line in lines}
