"""Which trials a cell's numbers come from: the repeats that its last selection planned, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from flyp_sweep.results.analysis.evidence import Trial
from flyp_sweep.results.ledger.schema import SelectionRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError


@dataclass(frozen=True)
class CellRepeats:
    """The planned repeats of one cell by what became of them.

    `done` and `failed` hold trials in planned order; `missing` holds (place in the plan from 1, trial_id).
    """

    cell: Cell
    done: tuple[Trial, ...] = ()
    failed: tuple[Trial, ...] = ()
    missing: tuple[tuple[int, str], ...] = ()

    @property
    def planned(self) -> int:
        return len(self.done) + len(self.failed) + len(self.missing)


def repeats_of(selection: SelectionRecord, trials: Mapping[str, Trial]) -> CellRepeats:
    """The repeats that `selection` planned, found among `trials` (by trial_id).

    Raises InputError when they do not make one sample: finished trials of another cell, of another configuration than
    the selected one, or two with the same seed.
    """
    found = [trials[trial_id] for trial_id in selection.repeats if trial_id in trials]
    done = tuple(trial for trial in found if trial.status == "done")
    _refuse_mixture(selection.cell, selection.config_id, done)
    return CellRepeats(
        cell=selection.cell,
        done=done,
        failed=tuple(trial for trial in found if trial.status != "done"),
        missing=tuple((place, name) for place, name in enumerate(selection.repeats, 1) if name not in trials),
    )


def _refuse_mixture(cell: Cell, config_id: str, done: tuple[Trial, ...]) -> None:
    for trial in done:
        if trial.cell != cell:
            raise InputError(
                f"{cell.key}: found trial {trial.trial_id} of {trial.cell.key} among its repeats, expected "
                "its own trials; the ledger was edited or joined wrongly, take it from its run folder again"
            )
    configs = sorted({config_id, *(trial.config_id for trial in done)})
    if len(configs) > 1:
        raise InputError(
            f"{cell.key}: found repeats of {len(configs)} configurations ({', '.join(configs)}), expected one: "
            f"the selected {config_id}; run the sweep again to repeat it alone"
        )
    twice = [seed for seed, count in Counter(trial.seed for trial in done).items() if count > 1]
    if twice:
        raise InputError(
            f"{cell.key}: found seed {twice[0]} in more than one repeat, expected distinct seeds; "
            "delete the line of the superfluous trial"
        )
