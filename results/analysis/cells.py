"""One cell's row of numbers: the samples over seeds that tables are made of, and what is missing from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, SIDES, Evidence, Measure, Side, Trial
from flyp_sweep.results.analysis.example_values import Array, ExampleValues
from flyp_sweep.results.analysis.repeats import CellRepeats, repeats_of
from flyp_sweep.results.ledger.schema import SelectionRecord
from flyp_sweep.results.naming import ZEROSHOT, method_label
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError

CellState = Literal["planned", "unfinished", "failed", "done"]

Mean = Callable[[Sequence[float]], float]

_NAMED_AT_MOST = 3


def average(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)


@dataclass(frozen=True)
class CellResult:
    """A cell of a run: its selection (None before there is one), its repeats and whether it has numbers.

    `label` is how its method is printed. `sha256` is that of the run's ledger, `metric` that of its numbers; None: the
    primary metric of each split.
    """

    run: str
    sha256: str
    state: CellState
    repeats: CellRepeats
    label: str
    selection: SelectionRecord | None = None
    metric: str | None = None
    examples: ExampleValues | None = None

    @property
    def cell(self) -> Cell:
        return self.repeats.cell

    @property
    def is_constant(self) -> bool:
        """Whether its one repeat stands for all seeds; older ledgers say so of the zero-shot model alone."""
        return self.cell.method == ZEROSHOT or (self.selection is not None and self.selection.deterministic)

    @property
    def n(self) -> int:
        return len(self.repeats.done)

    @property
    def planned(self) -> int:
        return self.repeats.planned

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """What its finished repeats were measured on, in the order of the ledger."""
        found: dict[Measure, None] = {}
        for trial in self.repeats.done:
            for numbers in trial.numbers.values():
                found.update(dict.fromkeys(numbers))
        return tuple(found)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: repeats that are missing or failed, and splits that some of them lack."""
        return (*_loss_note(self.repeats), *_gap_notes(self.repeats.done, self.measures))

    def sample(self, side: Side, parts: Sequence[Measure], mean: Mean = average) -> dict[int, float]:
        """Seed to the `mean` of `parts` (fractions), over the finished repeats that hold all of them."""
        held = [(trial.seed, trial.numbers[side]) for trial in self.repeats.done if side in trial.numbers]
        if len(parts) == 1:
            (part,) = parts
            return {seed: numbers[part] for seed, numbers in held if part in numbers}
        wanted = set(parts)
        return {
            seed: mean([numbers[part] for part in parts])
            for seed, numbers in held
            if wanted and wanted <= numbers.keys()
        }

    def values(self, side: Side, parts: Sequence[Measure], seeds: Collection[int]) -> list[Array]:
        """The values [seeds, examples] behind `sample`, of each part. Raises InputError as `ExampleValues.matrix`."""
        if self.examples is None:
            raise InputError(
                f"--interval seeds+examples: found a ledger in memory of {self.run}, expected a run folder with its "
                "predictions; read it by read_evidence"
            )
        ids = [trial.trial_id for trial in self.repeats.done if trial.seed in seeds]
        return [self.examples.matrix(ids, side, part.split, part.metric) for part in parts]


def cell_results(evidence: Evidence) -> list[CellResult]:
    """A result for every cell that the evidence knows: planned, started or selected.

    A cell's numbers come from exactly the finished repeats that its last selection planned. Raises InputError for a
    cell whose repeats mix configurations or hold a seed twice.
    """
    started = {trial.cell for trial in evidence.trials.values()}
    hopeful = {trial.cell for trial in evidence.trials.values() if trial.status != "failed"}
    results = []
    for cell in dict.fromkeys([*evidence.planned, *sorted(started, key=_key), *evidence.selections]):
        selection = evidence.selections.get(cell)
        repeats = CellRepeats(cell) if selection is None else repeats_of(selection, evidence.trials)
        if selection is None:
            state: CellState = "unfinished" if cell in hopeful else "failed" if cell in started else "planned"
        elif repeats.done:
            state = "done"
        else:
            state = "unfinished" if repeats.missing or not repeats.failed else "failed"
        label = method_label(cell.method, evidence.labels)
        results.append(
            CellResult(
                evidence.run, evidence.sha256, state, repeats, label, selection, evidence.metric, evidence.examples
            )
        )
    return results


def _key(cell: Cell) -> str:
    return cell.key


def _loss_note(repeats: CellRepeats) -> list[str]:
    """What became of the planned repeats that give no number; nothing when none has finished or all have."""
    lost = [f"repeat {place} missing (trial {trial_id})" for place, trial_id in repeats.missing]
    lost += [_failure(trial) for trial in repeats.failed]
    if not (lost and (repeats.done or repeats.failed)):
        return []
    named = lost[:_NAMED_AT_MOST] + ([f"and {len(lost) - _NAMED_AT_MOST} more"] if len(lost) > _NAMED_AT_MOST else [])
    return [f"{len(repeats.done)} of {counted(repeats.planned, 'repeat')}: {'; '.join(named)}"]


def _failure(trial: Trial) -> str:
    reason = " ".join(str(trial.reason or "").split())
    return f"seed {trial.seed} {trial.status} (trial {trial.trial_id}{': ' + reason if reason else ''})"


def _gap_notes(done: Sequence[Trial], measures: Sequence[Measure]) -> list[str]:
    if all(len(numbers) == len(measures) for trial in done for numbers in trial.numbers.values()):
        return []
    counts = Counter((side, measure) for trial in done for side, held in trial.numbers.items() for measure in held)
    return [
        f"{measure.heading} {SIDE_LABELS[side]} holds {count} of {len(done)} finished repeats"
        for measure in measures
        for side in SIDES
        if 0 < (count := counts[side, measure]) < len(done)
    ]
