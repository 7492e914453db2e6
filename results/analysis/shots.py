"""Accuracy against shots: what each method reaches with how many images per class."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from flyp_sweep.results.analysis.cells import CellResult, cell_results
from flyp_sweep.results.analysis.evidence import Evidence, Measure, Side
from flyp_sweep.results.analysis.protocol_blocks import Block, blocks_of
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.results.statistics.intervals import Interval, mean_interval

Role = Literal["id_test", "ood"]


@dataclass(frozen=True)
class Line:
    """One method: the interval over seeds (fractions) by shots; of the zero-shot model a constant."""

    method: str
    label: str
    is_constant: bool
    intervals: dict[int, Interval]


@dataclass(frozen=True)
class Panel:
    """What is on the vertical axis, and a line per method."""

    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ShotsCurves:
    """The few-shot cells of one (dataset, model): a panel of ID test and, with OOD sets, one of their mean."""

    dataset: str
    model: str
    side: Side
    panels: tuple[Panel, ...]


def shots_curves(evidence: Iterable[Evidence], side: Side = "without") -> list[ShotsCurves]:
    """The curves of every (dataset, model) with numbers at two or more shots, on one side of ensembling."""
    blocks = blocks_of(result for one in evidence for result in cell_results(one))
    few_shot = [block for block in blocks if block.shots is not None and block.measures]
    found = []
    for (dataset, model), group in itertools.groupby(few_shot, key=lambda block: (block.dataset, block.model)):
        own = list(group)
        panels = tuple(panel for role in ("id_test", "ood") if (panel := _panel(own, role, side)))
        if len(own) > 1 and panels:
            found.append(ShotsCurves(dataset, model, side, panels))
    return found


def _panel(blocks: Sequence[Block], role: Literal["id_test", "ood"], side: Side) -> Panel | None:
    results = [(block, result) for block in blocks for result in block.results]
    lines = [
        _line([(block, one) for block, one in results if one.cell.method == method], role, side)
        for method in dict.fromkeys(one.cell.method for _, one in results)
    ]
    measured = [measure for block in blocks for measure in _parts(block, role)]
    return Panel(_label(measured, role), tuple(line for line in lines if line.intervals)) if measured else None


def _line(cells: Sequence[tuple[Block, CellResult]], role: Role, side: Side) -> Line:
    intervals = {}
    for block, cell in cells:
        values = list(cell.sample(side, _parts(block, role)).values())
        if values and block.shots is not None:
            intervals[block.shots] = mean_interval(values)
    method, label = cells[0][1].cell.method, cells[0][1].label
    return Line(method, label, method == ZEROSHOT, intervals)


def _parts(block: Block, role: Role) -> list[Measure]:
    return [measure for measure in block.measures if measure.role == role]


def _label(measured: Sequence[Measure], role: Role) -> str:
    metrics = {measure.metric for measure in measured}
    metric = metrics.pop().replace("_", " ") if len(metrics) == 1 else "primary metric"
    splits = {measure.split for measure in measured}
    if role == "id_test":
        return f"ID test {metric} (%)"
    return f"{'Mean OOD' if len(splits) > 1 else f'OOD {splits.pop()}'} {metric} (%)"
