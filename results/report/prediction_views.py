"""What the report shows of single examples: calibration, classes and McNemar's tests of the best repeats of a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flyp_sweep.results.analysis.best_repeats import BestRepeat, Pair, PredictedBlock, SplitOutputs
from flyp_sweep.results.metrics import METRICS, percent
from flyp_sweep.results.statistics.confusion import most_confused, per_class_accuracy

MOST_CLASSES = 20
"""Classes that a table holds; of more, the hardest."""
HARDEST = 15
_LEVEL = 0.05
_HEADINGS = {"accuracy": "accuracy (%)", "ece": "ECE (%)", "nll": "NLL (nats)", "brier": "Brier"}


@dataclass(frozen=True)
class MethodView:
    """A method's best repeat: where its trials stand on the page, its seed and alpha, and its numbers by panel."""

    label: str
    anchor: str
    seed: int
    alpha: float
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Two methods on one split: as it is printed, the counts behind it, and whether it is shown to differ from 0."""

    text: str = "-"
    counts: str = ""
    differs: bool = False


@dataclass(frozen=True)
class PredictionView:
    """A block. `panels` head groups of the same numbers.

    `accuracies` are a class, its number of images and its accuracy by the methods `on_id`; `classes` says which classes
    these are, where they are not all. `missing` are methods whose best repeat has no file.
    """

    title: str
    panels: tuple[str, ...]
    headings: tuple[str, ...]
    methods: tuple[MethodView, ...]
    on_id: tuple[str, ...]
    accuracies: list[tuple[str, str, list[str]]]
    classes: str
    confused: list[tuple[str, list[tuple[str, str, int, str]]]]
    splits: tuple[str, ...]
    differences: list[tuple[str, list[Difference]]]
    missing: tuple[str, ...]


def prediction_views(blocks: Sequence[PredictedBlock], anchors: Mapping[str, str]) -> list[PredictionView]:
    """A view of every block; `anchors` tells where on the page a trial (by id) stands with the others of its cell."""
    return [_view(block, anchors) for block in blocks]


def _view(block: PredictedBlock, anchors: Mapping[str, str]) -> PredictionView:
    panels = tuple(dict.fromkeys(name for one in block.methods for name in one.pooled))
    shown = [one for one in block.methods if one.on_id is not None]
    classes = len(shown[0].classes) if shown else 0
    return PredictionView(
        title=block.title,
        panels=panels,
        headings=tuple(_HEADINGS.values()),
        methods=tuple(
            MethodView(
                one.label,
                anchors.get(one.trial_id, ""),
                one.seed,
                one.alpha,
                tuple(text for panel in panels for text in _numbers(one.pooled.get(panel))),
            )
            for one in block.methods
        ),
        on_id=tuple(one.label for one in shown),
        accuracies=_accuracies(shown),
        classes="" if classes <= MOST_CLASSES else f"the {HARDEST} hardest of {classes:,}",
        confused=[] if classes <= MOST_CLASSES else [(one.label, _confused(one)) for one in shown],
        splits=tuple(block.pairs),
        differences=_differences(block.pairs),
        missing=block.missing,
    )


def _numbers(outputs: SplitOutputs | None) -> list[str]:
    """Accuracy, ECE, NLL and Brier score as they are printed."""
    if outputs is None:
        return ["-"] * len(_HEADINGS)
    values = (float(outputs.correct.mean()), outputs.reliability.error, outputs.nll, outputs.brier)
    return [
        "-" if value is None else METRICS[name].printed(value) for name, value in zip(_HEADINGS, values, strict=True)
    ]


def _accuracies(shown: Sequence[BestRepeat]) -> list[tuple[str, str, list[str]]]:
    """Class, how many images it has, and its accuracy by method; of many classes those of the lowest mean."""
    if not shown:
        return []
    classes = len(shown[0].classes)
    outputs = [one.on_id for one in shown if one.on_id is not None]
    found = np.array([per_class_accuracy(one.labels, one.predicted, classes) for one in outputs])
    counts = np.bincount(outputs[0].labels, minlength=classes)
    order = np.flatnonzero(counts > 0)
    if classes > MOST_CLASSES:
        order = order[np.argsort(found[:, order].mean(axis=0), kind="stable")][:HARDEST]
    return [
        (shown[0].classes[at], f"{counts[at]:,}", [percent(float(value)) for value in found[:, at]]) for at in order
    ]


def _confused(one: BestRepeat) -> list[tuple[str, str, int, str]]:
    """Label, prediction, images and their share of the label's, of the most confused pairs."""
    assert one.on_id is not None
    return [
        (one.classes[pair.label], one.classes[pair.predicted], pair.count, percent(pair.share))
        for pair in most_confused(one.on_id.labels, one.on_id.predicted, HARDEST)
    ]


def _differences(pairs: Mapping[str, Sequence[Pair]]) -> list[tuple[str, list[Difference]]]:
    """A row per pair of methods, an entry per split."""
    named = dict.fromkeys((pair.a, pair.b) for held in pairs.values() for pair in held)
    by_split = [{(pair.a, pair.b): pair for pair in held} for held in pairs.values()]
    return [(f"{a} - {b}", [_difference(held.get((a, b))) for held in by_split]) for a, b in named]


def _difference(pair: Pair | None) -> Difference:
    if pair is None:
        return Difference()
    test = pair.test
    alone = f"{pair.a} {test.a_alone}, {pair.b} {test.b_alone} of {test.n} images"
    text = f"{METRICS['accuracy'].printed(test.difference, signed=True)} (p {_p(pair.adjusted)})"
    return Difference(text, f"right alone: {alone}; uncorrected p {_p(test.p_value)}", pair.adjusted <= _LEVEL)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
