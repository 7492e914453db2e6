"""Score and loss on ID validation data after each epoch, of the repeats: how the training of each method went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.ledger.schema import Record, TrialRecord
from flyp_sweep.results.naming import block_title


@dataclass(frozen=True)
class SeedCurve:
    """One repeat: epochs upwards (0 is the start), score (a fraction) and loss on ID validation data, [epochs] each.

    `best` is the epoch whose model was kept, None where the ledger does not say. `losses` are empty where an epoch has
    none.
    """

    epochs: tuple[int, ...]
    scores: tuple[float, ...]
    losses: tuple[float, ...]
    best: int | None


@dataclass(frozen=True)
class MethodCurves:
    """A method and a curve for each of its finished repeats that has two epochs or more."""

    method: str
    label: str
    seeds: tuple[SeedCurve, ...]


@dataclass(frozen=True)
class BlockCurves:
    """The curves of one (dataset, model, shots); `metric` is that of the scores."""

    dataset: str
    model: str
    shots: int | None
    metric: str
    methods: tuple[MethodCurves, ...]

    @property
    def title(self) -> str:
        return block_title(self.dataset, self.model, self.shots)


class CurveReader:
    """Takes the curves of repeats out of the records of a ledger, which are then kept without them.

    Of a trial that is there twice the later line holds.
    """

    def __init__(self) -> None:
        self.curves: dict[str, SeedCurve] = {}

    def take(self, record: Record) -> None:
        """Note the curve of a record, if it is that of a finished repeat with two epochs at least."""
        if isinstance(record, TrialRecord) and record.stage == "repeat" and record.status == "done":
            curve = _curve(record)
            if curve is not None:
                self.curves[record.trial_id] = curve


def _curve(record: TrialRecord) -> SeedCurve | None:
    metric = record.metric or ""
    points = [point for point in record.curve if "epoch" in point and metric in point]
    if len(points) < 2:
        return None
    losses = [float(point["loss"]) for point in points if "loss" in point]
    return SeedCurve(
        tuple(int(point["epoch"]) for point in points),
        tuple(float(point[metric]) for point in points),
        tuple(losses) if len(losses) == len(points) else (),
        record.best_epoch,
    )


def curves_of(blocks: Iterable[Block], curves: Mapping[str, SeedCurve]) -> list[BlockCurves]:
    """The curves of the repeats that count for each block; `curves` are by trial id. Blocks without any are absent."""
    found = []
    for block in blocks:
        methods = []
        for result in block.results:
            seeds = [curves[trial.trial_id] for trial in result.repeats.done if trial.trial_id in curves]
            if seeds:
                methods.append(MethodCurves(result.cell.method, result.label, tuple(seeds)))
        metrics = [one.selection.metric for one in block.results if one.selection and one.selection.metric]
        if methods:
            metric = metrics[0] if metrics else ""
            found.append(BlockCurves(block.dataset, block.model, block.shots, metric, tuple(methods)))
    return found
