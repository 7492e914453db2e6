"""Effective robustness: how far the OOD accuracy of a method lies above what its ID accuracy lets expect.

Taori et al., "Measuring robustness to natural distribution shifts in image classification", NeurIPS 2020, section 2.2:
the baseline b is a line, fitted on logit(ID accuracy) and logit(OOD accuracy) of models that were not made robust on
purpose, here the zero-shot models of a run; a model's effective robustness is OOD accuracy - b(ID accuracy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import special

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import Side
from flyp_sweep.results.naming import ZEROSHOT, method_order, shots_label

FEWEST_MODELS = 3
"""Zero-shot models that a line is fitted through: two would lie on any line."""
_METRIC = "accuracy"
_ENDS = 1e-4
"""Accuracies are kept this far from 0 and 1, whose logits are infinite."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Robustness:
    """One (dataset, shots): `rows` hold a method and model with the points (fractions) above the line of each split."""

    dataset: str
    shots: int | None
    models: int
    splits: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float | None, ...]], ...]

    @property
    def title(self) -> str:
        return ", ".join([self.dataset] + ([] if self.shots is None else [shots_label(self.shots)]))


def robustness_of(results: Iterable[CellResult], side: Side = "with") -> list[Robustness]:
    """Of every data set and shots with enough zero-shot models; on splits whose metric is accuracy, like that of ID."""
    blocks: dict[tuple[str, int | None], list[CellResult]] = {}
    for result in results:
        if result.state == "done":
            blocks.setdefault((result.cell.dataset, result.cell.shots), []).append(result)
    found = [_robustness(dataset, shots, own, side) for (dataset, shots), own in blocks.items()]
    return [one for one in found if one is not None]


def _robustness(dataset: str, shots: int | None, results: Sequence[CellResult], side: Side) -> Robustness | None:
    splits = list(dict.fromkeys(one.split for result in results for one in result.measures if one.role == "ood"))
    points = {id(result): _points(result, side) for result in results}
    baselines = [result for result in results if result.cell.method == ZEROSHOT]
    lines = {
        split: held
        for split in splits
        if len(held := [points[id(one)][split] for one in baselines if split in points[id(one)]]) >= FEWEST_MODELS
    }
    if not lines:
        return None
    others = sorted(
        (one for one in results if one.cell.method != ZEROSHOT),
        key=lambda one: (one.cell.model, method_order(one.cell.method)),
    )
    rows = tuple(
        (one.label, one.cell.model, tuple(_above(points[id(one)].get(s), lines[s]) for s in lines)) for one in others
    )
    return Robustness(dataset, shots, max(map(len, lines.values())), tuple(lines), rows)


def _points(result: CellResult, side: Side) -> Mapping[str, Point]:
    """OOD split to (ID accuracy, OOD accuracy), means over the seeds that have both."""
    ids = [one for one in result.measures if one.role == "id_test" and one.metric == _METRIC]
    if not ids:
        return {}
    found = {}
    for measure in result.measures:
        if measure.role == "ood" and measure.metric == _METRIC:
            on_id, on_ood = result.sample(side, ids), result.sample(side, [measure])
            seeds = on_id.keys() & on_ood.keys()
            if seeds:
                found[measure.split] = (fmean(on_id[s] for s in seeds), fmean(on_ood[s] for s in seeds))
    return found


def _above(point: Point | None, baselines: Sequence[Point]) -> float | None:
    """How far a point lies above the line through the baselines."""
    return None if point is None else point[1] - baseline(point[0], baselines)


def baseline(accuracy: float, baselines: Sequence[Point]) -> float:
    """The OOD accuracy that the line through (ID, OOD) accuracies, least squares in logits, gives at an ID accuracy."""
    x, y = special.logit(np.clip(np.array(baselines), _ENDS, 1 - _ENDS)).T
    if np.ptp(x) == 0:
        return float(special.expit(y.mean()))
    slope, offset = np.polyfit(x, y, 1)
    return float(special.expit(offset + slope * special.logit(np.clip(accuracy, _ENDS, 1 - _ENDS))))
