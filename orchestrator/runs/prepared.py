"""A sweep that is checked and not yet begun: its plans, what the ledger already holds, and what the user is told."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.orchestrator.protocol.algorithms import fewer_configs
from flyp_sweep.orchestrator.protocol.plan import CellPlan, plan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.outdated import Outdated, outdated, space_before
from flyp_sweep.orchestrator.runs.resume import Earlier, read_earlier
from flyp_sweep.results.ledger.run_folder import LEDGER
from flyp_sweep.search_spaces.complaints import counted, one_line
from flyp_sweep.search_spaces.loading import dump
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.preflight import Checked
from flyp_sweep.trainers.spec import FAILED


@dataclass(frozen=True)
class Prepared:
    """What a sweep will do; `earlier` is what its ledger holds, `stale` what of that has to run again.

    `warnings` are all lines that a user is told before the start: of the data, the settings and the trials of before.
    """

    plans: list[CellPlan]
    earlier: Earlier
    protocol: Protocol
    stale: Outdated
    warnings: list[str]

    @property
    def space(self) -> SearchSpace:
        """The search space with all that was left to defaults written out."""
        return self.plans[0].space

    @property
    def counting(self) -> str | None:
        """How many finished trials of the run folder count, and how many do not match; None if there is none."""
        if not self.stale.finished:
            return None
        outcomes = self.protocol.outcomes
        planned = {trial.trial_id for cell in self.protocol.cells for trial in cell.trials}
        count = sum(1 for name in planned if name in outcomes and outcomes[name].status != FAILED)
        line = f"{counted(count, 'finished trial')} of this folder count{'s' if count == 1 else ''}"
        stale = len(self.stale.trials)
        return f"{line}, {stale:,} no longer match{'es' * (stale == 1)} because {self.stale.because}" if stale else line

    @property
    def space_text(self) -> str:
        """The run's `space.yaml`: the space and, as comments, what it comes to and the classes of its data."""
        lines = ["# What these settings come to:"]
        for one in self.plans:
            if one.base is None:
                trained = f"{one.steps} steps, {one.space.train.warmup_of(one.steps)} of them warm-up"
                fitting = f"{trained}; " if one.method.trained else ""
                lines.append(f"# {one.cell.key}: {fitting}selected by {one.data.metric} on id_val")
        for name, data in {one.cell.dataset: one.data for one in self.plans}.items():
            told = (f"#   {one_line(line)}" for line in data.census + data.remarks)
            lines += [f"# Images per class of {name}:", *told]
        return dump(self.space) + "\n".join(lines) + "\n"


def prepared(
    space: SearchSpace,
    checked: Checked,
    path: Path,
    kept: Container[str] = (),
    predicted: Container[str] | None = None,
    *,
    retry_failed: bool = False,
    all_metrics: bool = False,
) -> Prepared:
    """What a sweep of `space` in the run folder at `path`, there or not, will do. Raises InputError as `read_earlier`.

    `kept` are the trials whose fits the run has, `predicted` those whose predictions it has (None: no matter). With
    `all_metrics` repeats are evaluated again that lack metrics or predictions.
    Raises InputError too where `path` is something else, or the run of a space of another name.
    """
    plans, earlier = plan(space, checked), read_earlier(path / LEDGER, predicted)
    protocol = Protocol(plans, earlier.usable(plans, retry_failed=retry_failed, all_metrics=all_metrics))
    stale = outdated(earlier, protocol, space_before(path, space.name), kept, all_metrics=all_metrics)
    warnings = [f"warning: {line}" for line in (*checked.warnings, *fewer_configs(plans), *_no_frontier(plans))]
    return Prepared(plans, earlier, protocol, stale, [*_remarks(checked), *warnings, *stale.lines])


def _no_frontier(plans: Sequence[CellPlan]) -> Iterator[str]:
    """A line per data set whose frontier is asked for and cannot be drawn."""
    for name, data in {one.cell.dataset: one.data for one in plans if one.space.wise_ft.frontier}.items():
        if "ood" not in data.roles.values():
            yield f"data set {name} has no OOD set: there is no frontier figure and no mean OOD"


def _remarks(checked: Checked) -> Iterator[str]:
    """What to know of methods and data before a run, a line each."""
    yield from checked.remarks
    for name, data in checked.data.items():
        counts = {split: images for split, images in data.incomplete.items() if "published" in images}
        if wrong := [f"{split} ({n['found']} of {n['published']} images)" for split, n in counts.items()]:
            yield f"data set {name} is not as published in {', '.join(wrong)}"
    told: dict[str, list[str]] = {}
    for name, data in checked.data.items():
        for line in data.remarks:
            told.setdefault(line, []).append(name)
    for line, names in told.items():
        of = f"data set {names[0]}" if len(names) == 1 else f"data sets {', '.join(names)}"
        yield f"{of}: {line}"
