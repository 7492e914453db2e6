"""The cells of runs, put into blocks: what was measured under one protocol and may share a column."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import Measure
from flyp_sweep.results.naming import ZEROSHOT, block_order, block_title, method_order, setting_label
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.family import Family
from flyp_sweep.search_spaces.roles import REPORTED, SHIFTED

_FIXED = {"data": "data", "weights": "weights"}
"""Settings that all numbers of a column must share, and what a message calls them."""

TRAINING = (
    *("epochs", "batch_size", "warmup_steps", "templates", "patience", "epoch_metric", "include_start", "grad_clip"),
    *("optimizer", "crop_scale", "flip", "pairs", "crops", "precision", "compile", "label_smoothing", "randaugment"),
    "layer_decay",
)
"""Settings that may differ between the methods of a block, and are then told in a note."""


@dataclass(frozen=True)
class Block:
    """All cells of one (dataset, model, shots)."""

    dataset: str
    model: str
    shots: int | None
    results: tuple[CellResult, ...]

    @property
    def title(self) -> str:
        return block_title(self.dataset, self.model, self.shots)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """ID test, then OOD validation, then the OOD sets, each in the order of the ledger."""
        found = dict.fromkeys(measure for result in self.results for measure in result.measures)
        return tuple(sorted(found, key=lambda measure: REPORTED.index(measure.role)))

    @property
    def has_shifts(self) -> bool:
        """Whether an OOD set or one for OOD validation was measured."""
        return any(measure.role in SHIFTED for measure in self.measures)

    @property
    def family(self) -> Family | None:
        """The family of its data set, as its selections say."""
        return next((one.selection.family for one in self.results if one.selection and one.selection.family), None)

    @property
    def incomplete(self) -> tuple[str, ...]:
        """What selections say of splits that hold another number of images than was published."""
        counts = {
            split: count
            for result in self.results
            if result.selection
            for split, count in result.selection.incomplete.items()
        }
        return tuple(f"split {split} {told}" for split, count in counts.items() for told in _incomplete(count))

    def single_metric(self, measures: Iterable[Measure]) -> None:
        """Raises InputError when one split was measured by two metrics: such numbers share no column."""
        for split, group in itertools.groupby(sorted(measures), key=lambda measure: measure.split):
            metrics = list(dict.fromkeys(measure.metric for measure in group))
            if len(metrics) > 1:
                raise InputError(
                    f"{self.title}: found {split} measured by {' and by '.join(metrics)}, expected one metric in a "
                    "column; make a table of each run, or take --layout per_shift, which shows them apart"
                )


def _incomplete(count: Mapping[str, int]) -> Iterator[str]:
    """What is said of a split, from the numbers of a selection's `incomplete`."""
    found, published, unreadable = count["found"], count.get("published"), count.get("unreadable")
    if unreadable:
        yield f"holds {counted(found, 'image')} without {unreadable:,} that cannot be decoded"
    if published is not None and found <= published:
        yield f"holds {found:,} of {published:,} published images"
    elif published is not None:
        yield f"holds {counted(found, 'image')}, where {published:,} were published"


def blocks_of(results: Iterable[CellResult]) -> list[Block]:
    """The blocks of `results`, ordered by data set, model and shots; a cell's methods in the order of the paper.

    Methods that the paper lacks come in the order of `results`.
    """
    results = list(results)
    others = list(dict.fromkeys(result.cell.method for result in results))
    ordered = sorted(results, key=lambda one: (block_order(one.cell), method_order(one.cell.method, others)))
    return [
        Block(group[0].cell.dataset, group[0].cell.model, group[0].cell.shots, tuple(group))
        for _, found in itertools.groupby(ordered, lambda result: block_order(result.cell))
        if (group := list(found))
    ]


def refuse_repeated_cells(results: Sequence[CellResult]) -> None:
    """Raises InputError when two runs hold the same cell."""
    holder: dict[str, str] = {}
    for result in results:
        earlier = holder.setdefault(result.cell.key, result.run)
        if earlier != result.run:
            raise InputError(
                f"{result.cell.key}: found in two runs, {earlier} and {result.run}, expected one; make a table of each"
            )


def refuse_unlike_protocols(blocks: Iterable[Block]) -> None:
    """Raises InputError when cells of different runs stand in one block but were not made alike.

    They must share the number of seeds, what selection looked at, the data, split by split and down to the bytes of the
    images, and the pretrained weights. Cells of one run share all this by construction.
    """
    for block in blocks:
        trained = [result for result in block.results if result.selection and result.repeats.done]
        for a, b in itertools.pairwise(trained):
            for what, of_a, of_b in _protocols(a, b):
                if a.run != b.run and of_a != of_b:
                    raise InputError(
                        f"{block.title}: found {what} {of_a} in run {a.run} ({a.cell.method}) and {of_b} in run "
                        f"{b.run} ({b.cell.method}), expected the same in one column; make a table of each run"
                    )


def _protocols(a: CellResult, b: CellResult) -> Iterable[tuple[str, object, object]]:
    assert a.selection
    assert b.selection
    of_a, of_b = a.repeats.done[0].settings, b.repeats.done[0].settings
    # A deterministic method has no seeds, and soups have those of the search.
    if not (a.is_constant or b.is_constant) and bool(of_a.get("ingredients")) == bool(of_b.get("ingredients")):
        yield "planned seeds", a.planned, b.planned
    yield "selection metric", a.selection.metric, b.selection.metric
    yield "selection split", a.selection.split, b.selection.split
    splits = of_a.get("splits", {}), of_b.get("splits", {})
    for split in splits[0]:
        if split in splits[1]:
            yield f"images or labels of {split}", splits[0][split], splits[1][split]
    for name, label in _FIXED.items():
        yield label, of_a.get(name), of_b.get(name)


def settings_note(results: Iterable[CellResult]) -> list[str]:
    """Which training settings differ between the trained methods, e.g. `epochs: 10 (ft), 20 (flyp)`."""
    trained = [result for result in results if result.repeats.done and result.cell.method != ZEROSHOT]
    notes = []
    for name in TRAINING:
        held: dict[str, dict[str, None]] = {}
        for result in trained:
            settings = result.repeats.done[0].settings
            if name in settings:
                held.setdefault(setting_label(name, settings[name]), {})[result.cell.method] = None
        if len(held) > 1:
            notes.append(f"{name}: " + ", ".join(f"{value} ({'/'.join(who)})" for value, who in held.items()))
    return notes
