"""The numbers of trials and sweeps by the names that trackers show: `val/loss`, `ood/sketch/accuracy`, `wiseft/...`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from statistics import fmean

from flyp_sweep.orchestrator.tracking.names import cell_parts
from flyp_sweep.results.analysis.cells import CellResult, cell_results
from flyp_sweep.results.analysis.evidence import Evidence, Measure, Side
from flyp_sweep.results.ledger.running_trials import EpochReport
from flyp_sweep.results.ledger.schema import TrialRecord, is_mixture
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.search_spaces.cell import WITH
from flyp_sweep.search_spaces.model import SearchSpace

LONGEST_PART = 100
"""Characters of a label in a metric's name; MLflow takes names of 250."""
WISEFT = "wiseft"
"""Begins the names of numbers at the alpha that a trial chose."""
FRONTIER = "vs_alpha_percent"
"""Begins the names of numbers whose step is 100 alpha."""
FEWEST_POINTS = 3
"""Two points are the numbers with and without ensembling, and no curve."""


def metric_part(label: str) -> str:
    """A split's label as a part of a metric's name, in which MLflow takes letters, digits, `_`, `-`, `.` and spaces.

    A label that has to change ends in a digest, so that different ones stay different.
    """
    kept = re.sub(r"[^\w\-. ]", "_", label)[:LONGEST_PART]
    if kept == label and kept.strip("."):
        return label
    return f"{kept.strip('.')}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def metric_name(metric: str) -> str:
    """A metric's own name; the group in `group_accuracy/GROUP` is the user's text, as the label of a split is."""
    kind, slash, group = metric.partition("/")
    return f"{kind}/{metric_part(group)}" if slash else metric


def split_name(split: str, role: str) -> str:
    """The ID splits by their roles, others by role and label: `id_test`, `ood/sketch`."""
    return role if role.startswith("id_") or split == role == "ood_val" else f"{role}/{metric_part(split)}"


def epoch_metrics(point: Mapping[str, float]) -> dict[str, float]:
    """A point of a trial's curve: `train/loss`, `val/loss`, `val/accuracy` and so on."""
    own = {"train_loss": "train/loss"}
    return {own.get(name, f"val/{metric_name(name)}"): value for name, value in point.items() if name != "epoch"}


def report_metrics(epoch: EpochReport) -> dict[str, float]:
    """The same of an epoch of a trial under way."""
    train = {} if epoch.train_loss is None else {"train_loss": epoch.train_loss}
    return epoch_metrics({**train, "loss": epoch.loss, **epoch.metrics})


def final_metrics(record: TrialRecord) -> dict[str, float]:
    """`score`, and each split's metrics, with WiSE-FT beside without. The mean OOD needs a number on every set.

    The zero-shot model, and a mixture of two models, have one kind of number: theirs.
    """
    facts = {"score": record.score, "alpha": record.alpha, "best_epoch": record.best_epoch}
    found = {name: float(value) for name, value in facts.items() if value is not None}
    ood: dict[str, list[tuple[str, float]]] = {}
    for one in record.measurements:
        for prefix in prefixes(record, one.alpha):
            found[f"{prefix}{split_name(one.split, one.role)}/{metric_name(one.metric)}"] = one.value
            if one.is_primary and one.role == "ood":
                ood.setdefault(prefix, []).append((one.metric, one.value))
    unmeasured = record.settings.get("splits", {}).keys() - {one.split for one in record.measurements}
    if len(unmeasured) > 1:  # not the training split alone: also one with classes that the method cannot predict
        return found
    for prefix, values in ood.items():
        found[f"{prefix}mean_ood/{mean_metric([metric for metric, _ in values])}"] = fmean(value for _, value in values)
    return found


def mean_metric(metrics: list[str]) -> str:
    """What a mean over splits is called: by their metric, if it is the same."""
    return metrics[0] if len(set(metrics)) == 1 else "primary"


def prefixes(record: TrialRecord, alpha: float) -> list[str]:
    """How the names of a trial's numbers at `alpha` begin; one of both kinds has two, and others on a frontier none."""
    if record.cell.method == ZEROSHOT:
        return [""] * (alpha == 0)
    if is_mixture(record.cell, record.settings):
        return [""] * (alpha == record.alpha)
    return [""] * (alpha == 1) + [f"{WISEFT}/"] * (alpha == record.alpha)


def frontier(record: TrialRecord) -> Iterator[tuple[str, int, float]]:
    """(name, 100 alpha, value) of each split's primary metric, where alpha takes several values."""
    curves: dict[str, dict[int, float]] = {}
    for one in record.measurements:
        if one.is_primary and record.alpha is not None:
            name = f"{FRONTIER}/{split_name(one.split, one.role)}"
            curves.setdefault(name, {})[round(100 * one.alpha)] = one.value
    for name, points in curves.items():
        if len(points) >= FEWEST_POINTS:
            yield from ((name, percent, value) for percent, value in points.items())


def sweep_metrics(evidence: Evidence, space: SearchSpace) -> dict[str, float]:
    """The means over repeats on ID test and OOD: `flyp/id_test/accuracy`, `flyp/wiseft/mean_ood/accuracy` and so on.

    Where the space has several data sets, models or shots, those of the cell come first.
    """
    return {name: value for cell in cell_results(evidence) for name, value in _cell_metrics(cell, space)}


def _cell_metrics(result: CellResult, space: SearchSpace) -> Iterator[tuple[str, float]]:
    cell = result.cell
    *place, _ = cell_parts(space, cell)
    method, _, ensemble = cell.method.partition(WITH)
    name = "/".join(map(metric_part, [*place, method, *filter(None, [ensemble])]))
    is_one_model = cell.method == ZEROSHOT or any(is_mixture(cell, one.settings) for one in result.repeats.done)
    sides: dict[Side, str] = {"with": name} if is_one_model else {"without": name, "with": f"{name}/{WISEFT}"}
    measured = [one for one in result.measures if not one.part]
    for side, prefix in sides.items():
        for name, role in (("id_test", "id_test"), ("mean_ood", "ood")):
            if parts := [one for one in measured if one.role == role]:
                yield from _mean(result, side, f"{prefix}/{name}", parts)


def _mean(result: CellResult, side: Side, name: str, parts: list[Measure]) -> Iterator[tuple[str, float]]:
    """The mean over the repeats that hold all `parts`; none where no repeat does."""
    if sample := result.sample(side, parts):
        yield f"{name}/{metric_name(mean_metric([one.metric for one in parts]))}", fmean(sample.values())
