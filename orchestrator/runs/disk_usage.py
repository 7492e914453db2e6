"""How much disk space a sweep takes, estimated before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from flyp_sweep.orchestrator.protocol.algorithms import planned_searches
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.roles import REPORTED

BYTES_PER_TRIAL, BYTES_PER_EPOCH, BYTES_PER_NUMBER = 2_000, 200, 130
"""Of a ledger's line, roughly: the trial, one point of its curve, one metric of one split at one alpha."""

METRICS = 6
BYTES_PER_EXAMPLE, BYTES_PER_LOGIT = 20, 2
"""Of a prediction: what it is of and says, compressed, and a logit of each class, if these are kept."""
MULTIPLE_BESIDE_LEDGER = 2
"""Tidy results, tables, figures and the MLflow store, in multiples of the ledger."""

WEIGHT_BYTES, CHECKPOINT_BYTES = 4, 16
"""Per parameter, in float32: of the model alone, and of the model, its best epoch and AdamW's two moments."""


@dataclass(frozen=True)
class DiskUsage:
    """Bytes: of the finished run, the `predictions` among them; at most of one trial under way, of the weights that the
    run keeps, and of the weights that ensembles are made of.

    `in_store`: those weights lie in a store, and not on the disk of the run folder.
    """

    run: int
    checkpoint: int
    predictions: int = 0
    weights: int = 0
    members: int = 0
    in_store: bool = False

    def __str__(self) -> str:
        predictions = f" ({decimal(self.predictions)} of them predictions)" if self.predictions else ""
        where = " in the store" if self.in_store else ""
        most = {
            "of checkpoints per running trial": self.checkpoint,
            f"of kept weights{where}": self.weights,
            f"of weights{where} until the ensembles are made": self.members,
        }
        parts = [f", up to {decimal(size)} {what}" for what, size in most.items() if size]
        return f"disk: about {decimal(self.run)} of results{predictions}{''.join(parts)}"

    @property
    def here(self) -> int:
        """The most that the disk of the run folder has to hold."""
        return self.run + (0 if self.in_store else self.weights + self.members)


def estimate(
    space: SearchSpace, plans: Sequence[CellPlan], over: Container[Cell] = (), *, in_store: bool = False
) -> DiskUsage:
    """What a sweep will take. Ensembles of the cells that are `over` no longer need weights."""
    ledger = predictions = 0
    for plan in plans:
        trial = BYTES_PER_TRIAL + BYTES_PER_EPOCH * space.train.epochs
        alphas = len(space.wise_ft.grid) if space.wise_ft.frontier else 2
        numbers = METRICS * (len(space.wise_ft.grid) + alphas * len(plan.data.identity.evaluated))
        ledger += planned_searches(plan) * trial + len(plan.repeat_seeds) * (trial + numbers * BYTES_PER_NUMBER)
        predictions += _predictions(plan)
    largest = max((plan.model.parameters or 0 for plan in plans if plan.method.trained), default=0)
    members = {(plan.cell.base, plan.is_soup): plan for plan in plans if plan.base and plan.cell not in over}
    return DiskUsage(
        ledger * (1 + MULTIPLE_BESIDE_LEDGER) + predictions,
        CHECKPOINT_BYTES * largest,
        predictions,
        sum(_weights(plan) * _models(plan) for plan in plans),
        sum(_weights(plan) * _members(plan) for plan in members.values()),
        in_store,
    )


def _weights(plan: CellPlan) -> int:
    """At most, of one trial: the whole model, or next to nothing where the encoders stay as pretrained."""
    return 0 if plan.method.frozen_encoder else WEIGHT_BYTES * (plan.model.parameters or 0)


def _models(plan: CellPlan) -> int:
    """Repeats of a cell whose weights the run keeps. A mixture has the weights of another trial."""
    if plan.base and not plan.is_soup:
        return 0
    return {"none": 0, "best": 1, "all": len(plan.repeat_seeds)}[plan.space.weights.keep]


def _members(plan: CellPlan) -> int:
    """Trials that the ensembles of a cell are made of. All soups of a cell share the same trials."""
    assert plan.base is not None
    return planned_searches(plan.base) if plan.is_soup else len(plan.repeat_seeds)


def _predictions(plan: CellPlan) -> int:
    """What the repeats of a cell say of each example, at the two alphas that tables show."""
    if plan.space.predictions == "none":
        return 0
    logits = BYTES_PER_LOGIT * plan.data.classes if plan.space.predictions == "logits" else 0
    examples = sum(plan.data.images.get(role, 0) for role in REPORTED)
    return len(plan.repeat_seeds) * 2 * examples * (BYTES_PER_EXAMPLE + logits)


def check(usage: DiskUsage, folder: Path) -> None:
    """Raise InputError when the disk of `folder`, there or not, has too little free space for the rest of the run."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if free < usage.here - held:
        more = "" if held == 0 else f" more than the {decimal(held)} it has"
        raise InputError(
            f"{folder}: found {decimal(free)} of free space; the run takes about {decimal(usage.here - held)}{more}; "
            "free some or choose another --out"
        )
