"""Every method on ID test and on each OOD set: means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flyp_sweep.results.analysis.evidence import SIDES, Measure, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.naming import ZEROSHOT, block_title
from flyp_sweep.results.statistics.intervals import Interval, mean_interval


@dataclass(frozen=True)
class Bars:
    """One method: its interval (fractions) on each split, by the name of the split."""

    method: str
    label: str
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class SplitBars:
    """The numbers of one (dataset, model, shots), without or with ensembling (`sides`); `splits` has ID test first."""

    dataset: str
    model: str
    shots: int | None
    metric: str
    splits: tuple[str, ...]
    sides: dict[Side, tuple[Bars, ...]]

    @property
    def title(self) -> str:
        return block_title(self.dataset, self.model, self.shots)


def split_bars(blocks: Iterable[Block]) -> list[SplitBars]:
    """The numbers of every block with a finished repeat on ID test or an OOD set, by each split's primary metric."""
    found = []
    for block in blocks:
        measures = [measure for measure in block.measures if measure.role in ("id_test", "ood")]
        if not measures:
            continue
        sides = {side: bars for side in SIDES if (bars := _bars(block, measures, side))}
        metrics = {measure.metric for measure in measures}
        metric = metrics.pop() if len(metrics) == 1 else "primary metric"
        splits = tuple(dict.fromkeys(measure.split for measure in measures))
        found.append(SplitBars(block.dataset, block.model, block.shots, metric, splits, sides))
    return found


def _bars(block: Block, measures: Sequence[Measure], side: Side) -> tuple[Bars, ...]:
    """The methods with a number on a side; none where there is the zero-shot model alone, unless nothing else is."""
    found = []
    for result in block.results:
        samples = [(measure.split, list(result.sample(side, [measure]).values())) for measure in measures]
        if held := {split: mean_interval(values) for split, values in samples if values}:
            found.append(Bars(result.cell.method, result.label, held))
    is_alone = all(one.method == ZEROSHOT for one in found)
    return () if is_alone and side == "with" else tuple(found)
