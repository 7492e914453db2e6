"""Which trials a cell's numbers come from: the repeats that its last selection planned, and what became of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from results.naming import ZEROSHOT
from results.records import Record, cell_of
from search_spaces.cell import Cell
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Repeats:
    """The planned repeats of one cell by what became of them.

    `done` and `failed` hold trials in planned order; `missing` holds (place in the plan from 1, trial_id).
    """

    cell: Cell
    done: tuple[Record, ...]
    failed: tuple[Record, ...]
    missing: tuple[tuple[int, str], ...]

    @property
    def planned(self) -> int:
        return len(self.done) + len(self.failed) + len(self.missing)


def repeats_of(selection: Mapping[str, Any], trials: Mapping[str, Record]) -> Repeats:
    """The repeats that `selection` planned, found among `trials` (by trial_id).

    Raises InputError when they do not make one sample: finished trials of another cell, of another configuration than
    the selected one, or two with the same seed.
    """
    cell = cell_of(selection)
    planned: list[str] = selection["repeats"]
    found = [trials[trial_id] for trial_id in planned if trial_id in trials]
    done = tuple(trial for trial in found if trial["status"] == "done")
    _refuse_mixture(cell, selection["config_id"], done)
    return Repeats(
        cell=cell,
        done=done,
        failed=tuple(trial for trial in found if trial["status"] != "done"),
        missing=tuple((place, trial_id) for place, trial_id in enumerate(planned, 1) if trial_id not in trials),
    )


def repeat_ids(selections: Iterable[Mapping[str, Any]]) -> set[str]:
    """The trial_ids of all repeats that `selections` planned."""
    return {trial_id for selection in selections for trial_id in selection["repeats"]}


def chosen_alpha(trial: Mapping[str, Any]) -> float | None:
    """The WiSE-FT alpha that the trial chose on id_val: 0 for the zero-shot model, None where none was chosen."""
    if trial["cell"]["method"] == ZEROSHOT:
        return 0.0
    alpha = trial.get("alpha")
    return None if alpha is None else float(alpha)


def evaluated_alpha(evaluation: Mapping[str, Any]) -> float:
    """The alpha of one evaluation; null, as the zero-shot model may have it, is 0."""
    return 0.0 if evaluation["alpha"] is None else float(evaluation["alpha"])


def same_alpha(a: float, b: float) -> bool:
    """Whether two alphas are the same point of a grid, whichever way they were computed."""
    return math.isclose(a, b, abs_tol=1e-9)


def _refuse_mixture(cell: Cell, config_id: str, done: tuple[Record, ...]) -> None:
    for trial in done:
        if cell_of(trial) != cell:
            raise InputError(
                f"{cell.key}: found trial {trial['trial_id']} of {cell_of(trial).key} among its repeats, expected "
                "its own trials; the ledger was edited or joined wrongly, take it from its run folder again"
            )
    configs = sorted({config_id, *(trial["config_id"] for trial in done)})
    if len(configs) > 1:
        raise InputError(
            f"{cell.key}: found repeats of {len(configs)} configurations ({', '.join(configs)}), expected one: "
            f"the selected {config_id}; run the sweep again to repeat it alone"
        )
    twice = [seed for seed, count in Counter(trial["seed"] for trial in done).items() if count > 1]
    if twice:
        raise InputError(
            f"{cell.key}: found seed {twice[0]} in more than one repeat, expected distinct seeds; "
            "delete the line of the superfluous trial"
        )
