"""Which of a run's models a user means: from a cell, a seed and an alpha to one repeat of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flyp_sweep.results.ledger.best_repeat import best_repeat
from flyp_sweep.results.ledger.file import last_selections, read_lines
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Record, SelectionRecord, TrialRecord, is_mixture
from flyp_sweep.results.naming import ZEROSHOT, shots_label
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.spec import DONE, REPEAT


@dataclass(frozen=True)
class Wanted:
    """What a user has said of a model; None: nothing.

    `shots` is `full` or a number. `seed` None asks for the repeat of best score on id_val, `alpha` None for the alpha
    that the repeat chose there. `trial` is the start of a trial's id.
    """

    dataset: str | None = None
    model: str | None = None
    shots: str | None = None
    method: str | None = None
    seed: int | None = None
    alpha: float | None = None
    trial: str | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise InputError(
                f"--alpha: found {self.alpha:g}; expected a number from 0 (zero-shot) to 1 (fine-tuned), or chosen"
            )


@dataclass(frozen=True)
class Chosen:
    """One model of a run: a finished repeat at `alpha`, and the finished repeats of its cell, itself among them."""

    run: RunFolder
    space: SearchSpace
    selection: SelectionRecord
    repeats: tuple[TrialRecord, ...]
    record: TrialRecord
    alpha: float
    alpha_was_chosen: bool
    seconds: Mapping[str, float]
    """Of every trial of the run, by its id: how long its longest run took, for a later one may only evaluate."""

    @property
    def told(self) -> str:
        """E.g. `digits/digits-clip/full/flyp, seed 0, alpha 0.9 (trial 6ae66d42ca9e4969)`."""
        return f"{self.cell.key}, seed {self.record.seed}, alpha {self.alpha:g} (trial {self.record.trial_id})"

    @property
    def cell(self) -> Cell:
        return self.record.cell


def choose(run: RunFolder, wanted: Wanted) -> Chosen:
    """The model of `run` that is wanted. Raises InputError where there is none, or more than one."""
    if not run.space.is_file():
        raise InputError(f"{run.label}: found no space.yaml, which models are made again from; restore the file")
    space = load(str(run.space))
    seconds: dict[str, float] = {}

    def needed(record: Record) -> Record | None:
        if isinstance(record, SelectionRecord):
            return record
        seconds[record.trial_id] = max(record.seconds, seconds.get(record.trial_id, 0.0))
        return record if record.stage == REPEAT else None

    records = read_lines(run.ledger.path, needed)
    selections = last_selections(record for record in records if record is not None)
    trials = {one.trial_id: one for one in records if isinstance(one, TrialRecord)}
    cells = list(dict.fromkeys([*selections, *space.cells()]))
    if wanted.trial is not None:
        cells = [_trial(wanted.trial, trials, run).cell]
    cell = _cell(cells, wanted, run)
    selection = selections.get(cell)
    planned = [trials[name] for name in selection.repeats if name in trials] if selection else []
    repeats = tuple(one for one in planned if one.status == DONE)
    if selection is None or not repeats:
        raise InputError(
            f"{run.label}: {cell.key} has no finished repeat, and so no model; run the search space to its end first"
        )
    record = _repeat(repeats, wanted, cell)
    _refuse_two_models(record)
    return Chosen(run, space, selection, repeats, record, _alpha(record, wanted), wanted.alpha is None, seconds)


def _trial(prefix: str, trials: Mapping[str, TrialRecord], run: RunFolder) -> TrialRecord:
    found = [one for name, one in trials.items() if name.startswith(prefix)]
    if len(found) != 1:
        told = ", ".join(one.trial_id for one in found[:5]) or "none"
        hint = "give more of the id" if found else f"`flyp-sweep table RUN --trace` lists them{nearest(prefix, trials)}"
        raise InputError(f"--trial: found {told} that begins with {prefix!r} among the repeats of {run.label}; {hint}")
    return found[0]


def _cell(cells: Sequence[Cell], wanted: Wanted, run: RunFolder) -> Cell:
    """The one cell that fits."""
    said: list[tuple[str, str | None, Callable[[Cell], str]]] = [
        ("--dataset", wanted.dataset, lambda cell: cell.dataset),
        ("--model", wanted.model, lambda cell: cell.model),
        ("--shots", wanted.shots, lambda cell: shots_label(cell.shots).removesuffix("-shot")),
        ("--method", wanted.method, lambda cell: cell.method),
    ]
    for option, value, of in said:
        if value is None:
            continue
        known = list(dict.fromkeys(map(of, cells)))
        if value not in known:
            raise InputError(
                f"{option}: found {value!r}; expected one of {', '.join(known)} in {run.label}{nearest(value, known)}"
            )
        cells = [cell for cell in cells if of(cell) == value]
    if len(cells) == 1:
        return cells[0]
    open_to_choice = {option: list(dict.fromkeys(map(of, cells))) for option, _, of in said}
    choices = "; ".join(f"{option} {', '.join(values)}" for option, values in open_to_choice.items() if len(values) > 1)
    raise InputError(f"{run.label}: found {len(cells)} cells, expected one; choose by {choices}")


def _refuse_two_models(record: TrialRecord) -> None:
    cell = record.cell
    if is_mixture(cell, record.settings):
        raise InputError(
            f"{cell.key}: this ensemble is two models, whose outputs are mixed; export them one by one: "
            f"--method {cell.base.method} --alpha 1, and the same with --alpha 0"
        )


def _repeat(repeats: Sequence[TrialRecord], wanted: Wanted, cell: Cell) -> TrialRecord:
    """The repeat that is named, else the best on id_val."""
    if wanted.trial is not None:
        named = [one for one in repeats if one.trial_id.startswith(wanted.trial)]
        if not named:
            raise InputError(f"--trial: {wanted.trial!r} is none of the repeats that the tables show of {cell.key}")
        return named[0]
    if wanted.seed is None:
        return best_repeat(repeats) or repeats[0]
    by_seed = {one.seed: one for one in repeats}
    if wanted.seed not in by_seed:
        known = ", ".join(map(str, sorted(by_seed)))
        raise InputError(f"--seed: found {wanted.seed}; expected the seed of a finished repeat of {cell.key}: {known}")
    return by_seed[wanted.seed]


def _alpha(record: TrialRecord, wanted: Wanted) -> float:
    if record.cell.method == ZEROSHOT:
        if wanted.alpha not in (None, 0.0):
            raise InputError(f"--alpha: found {wanted.alpha:g}; {ZEROSHOT} is the model at 0: leave it out")
        return 0.0
    chosen = record.chosen_alpha
    if wanted.alpha is None and chosen is None:
        raise InputError(f"--alpha: trial {record.trial_id} chose none; give a number from 0 to 1")
    return float(chosen if wanted.alpha is None else wanted.alpha)  # type: ignore[arg-type]
