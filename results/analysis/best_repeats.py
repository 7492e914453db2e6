"""What the best repeat of each cell predicts, example by example: by method, split and block.

The best repeat is that of the highest score on ID validation data (ties: lower loss, then the first), the one whose
weights a run keeps by default. Its model is that of the alpha which it chose there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.ledger.best_repeat import best_repeat
from flyp_sweep.results.ledger.file import recorded_labels
from flyp_sweep.results.ledger.predictions import Repeat, read_one, repeats_in
from flyp_sweep.results.ledger.schema import Record, same_alpha
from flyp_sweep.results.naming import block_order, block_title, method_label
from flyp_sweep.results.statistics.calibration import Reliability, reliability
from flyp_sweep.results.statistics.confusion import confusion_matrix
from flyp_sweep.results.statistics.mcnemar import McNemar, mcnemar
from flyp_sweep.results.statistics.multiplicity import holm
from flyp_sweep.search_spaces.errors import InputError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int_]
Booleans = npt.NDArray[np.bool_]

ID, OOD = "ID test", "all OOD"

_READ = ("split", "row", "label", "predicted", "confidence", "p_label")


@dataclass(frozen=True)
class SplitOutputs:
    """Of the N examples of a split, in its order: label, prediction, confidence and probability of the label, each [N].

    `brier` is the mean score of the ledger (files hold too little for it), None where a line of an earlier version
    lacks it.
    """

    labels: Integers
    predicted: Integers
    confidence: Floats
    p_label: Floats
    brier: float | None = None

    @property
    def correct(self) -> Booleans:
        return np.asarray(self.labels == self.predicted)

    @cached_property
    def reliability(self) -> Reliability:
        return reliability(self.confidence, self.correct)

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood, in nats."""
        return float(-np.log(np.maximum(self.p_label, np.finfo(np.float64).tiny)).mean())


@dataclass(frozen=True)
class BestRepeat:
    """The best repeat of a cell; `splits` are by name, ID test first; `classes` names the labels of ID test.

    `is_whole`: no other method of its block has an OOD set that it lacks.
    """

    method: str
    label: str
    trial_id: str
    seed: int
    alpha: float
    classes: tuple[str, ...]
    id_split: str | None
    splits: Mapping[str, SplitOutputs]
    is_whole: bool = True

    @property
    def ood(self) -> list[str]:
        return [name for name in self.splits if name != self.id_split]

    @cached_property
    def pooled(self) -> dict[str, SplitOutputs]:
        """ID test, and all OOD sets as one, as far as there are any; the latter not where it lacks one of them."""
        found = {ID: self.splits[self.id_split]} if self.id_split else {}
        ood = self.ood if self.is_whole else []
        return found | ({OOD: _joined([self.splits[name] for name in ood])} if ood else {})

    @property
    def on_id(self) -> SplitOutputs | None:
        return self.splits[self.id_split] if self.id_split else None

    @property
    def confusion(self) -> Integers | None:
        """Counts [C, C] on ID test."""
        found = self.on_id
        return None if found is None else confusion_matrix(found.labels, found.predicted, len(self.classes))


@dataclass(frozen=True)
class Pair:
    """Two methods on the same examples; `adjusted` is the p-value, Holm-corrected over the pairs on that split."""

    a: str
    b: str
    test: McNemar
    adjusted: float


@dataclass(frozen=True)
class PredictedBlock:
    """The best repeats of one (dataset, model, shots), in the order of tables; `missing` are methods without a file."""

    dataset: str
    model: str
    shots: int | None
    methods: tuple[BestRepeat, ...]
    missing: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return block_title(self.dataset, self.model, self.shots)

    @cached_property
    def pairs(self) -> dict[str, list[Pair]]:
        """McNemar's test between every two methods, by split: those with the same examples there."""
        splits = dict.fromkeys(name for one in self.methods for name in one.splits)
        found = {name: self._pairs(name) for name in splits}
        return {name: pairs for name, pairs in found.items() if pairs}

    def _pairs(self, split: str) -> list[Pair]:
        held = [(one.label, one.splits[split]) for one in self.methods if split in one.splits]
        tests = [
            (a, b, mcnemar(of_a.correct, of_b.correct))
            for (a, of_a), (b, of_b) in itertools.combinations(held, 2)
            if np.array_equal(of_a.labels, of_b.labels)
        ]
        adjusted = holm(np.array([test.p_value for _, _, test in tests]))
        return [Pair(a, b, test, float(p)) for (a, b, test), p in zip(tests, adjusted, strict=True)]


@dataclass(frozen=True)
class Predicted:
    """The blocks with outputs, and why others (by title) have none."""

    blocks: tuple[PredictedBlock, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


def predicted_in(records: Iterable[Record], folder: Path) -> Predicted:
    """The best repeats of every block; `folder` holds the files. A file that cannot be read costs its block alone."""
    records = list(records)
    labels = recorded_labels(records)
    blocks, skipped = [], {}
    for _, group in itertools.groupby(repeats_in(records, folder), lambda one: block_order(one.trial.cell)):
        best = [_best(list(own)) for _, own in itertools.groupby(group, lambda one: one.trial.cell)]
        cell = best[0].trial.cell
        title = block_title(cell.dataset, cell.model, cell.shots)
        held = [one for one in best if one.path.is_file()]
        try:
            methods = _alike([_read(one, labels) for one in held])
        except InputError as error:
            skipped[title] = str(error)
            continue
        if methods:
            missing = tuple(method_label(one.trial.cell.method, labels) for one in best if one not in held)
            blocks.append(PredictedBlock(cell.dataset, cell.model, cell.shots, methods, missing))
        else:
            skipped[title] = "the run has no predictions of single images (predictions: none, or an earlier version)"
    return Predicted(tuple(blocks), skipped)


def _alike(methods: Sequence[BestRepeat]) -> tuple[BestRepeat, ...]:
    """The methods of a block, each of which knows whether it lacks an OOD set that another one has."""
    every = {name for one in methods for name in one.ood}
    return tuple(replace(one, is_whole=every <= set(one.ood)) for one in methods)


def _best(repeats: Sequence[Repeat]) -> Repeat:
    """The repeat that did best on ID validation data."""
    best = best_repeat(one.trial for one in repeats)
    return next((one for one in repeats if one.trial is best), repeats[0])


def _read(repeat: Repeat, labels: Mapping[str, str]) -> BestRepeat:
    trial = repeat.trial
    table = read_one(repeat, None, "with", _READ)
    alpha = repeat.alpha("with") or 0.0
    recorded = {
        one.split: one
        for at in trial.evaluations
        if same_alpha(at.alpha or 0.0, alpha)
        for one in at.splits
        if one.role in ("id_test", "ood")
    }
    frame = table.to_pandas().sort_values("row", kind="stable")
    splits = {}
    for name, record in recorded.items():
        own = frame[frame["split"].eq(name)]
        if len(own):
            label, predicted, confidence, p_label = (own[column].to_numpy() for column in _READ[2:])
            splits[name] = SplitOutputs(label, predicted, confidence, p_label, record.metrics.get("brier"))
    id_split = next((name for name in splits if recorded[name].role == "id_test"), None)
    ordered = sorted(splits, key=lambda name: name != id_split)
    return BestRepeat(
        trial.cell.method,
        method_label(trial.cell.method, labels),
        trial.trial_id,
        trial.seed,
        alpha,
        tuple(repeat.names(id_split) if id_split else ()),
        id_split,
        {name: splits[name] for name in ordered},
    )


def _joined(splits: Sequence[SplitOutputs]) -> SplitOutputs:
    """Several splits as one; labels of splits with classes of their own are right or wrong there as they are here."""
    briers = [one.brier for one in splits]
    sizes = [len(one.labels) for one in splits]
    known = [(brier, size) for brier, size in zip(briers, sizes, strict=True) if brier is not None]
    brier = sum(brier * size for brier, size in known) / sum(sizes) if len(known) == len(splits) else None
    return SplitOutputs(
        np.concatenate([one.labels for one in splits]),
        np.concatenate([one.predicted for one in splits]),
        np.concatenate([one.confidence for one in splits]),
        np.concatenate([one.p_label for one in splits]),
        brier,
    )
