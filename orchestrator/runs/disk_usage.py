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

BYTES_PER_TRIAL, BYTES_PER_EPOCH, BYTES_PER_NUMBER = 2_000, 200, 130
"""Of a ledger's line, roughly: the trial, one point of its curve, one metric of one split at one alpha."""

METRICS = 3
MULTIPLE_BESIDE_LEDGER = 2
"""Tidy results, tables, figures and the MLflow store, in multiples of the ledger."""

WEIGHT_BYTES, CHECKPOINT_BYTES = 4, 16
"""Per parameter, in float32: of the model alone, and of the model, its best epoch and AdamW's two moments."""


@dataclass(frozen=True)
class DiskUsage:
    """Bytes: of the finished run, at most of one trial under way, and of all weights that ensembles are made of.

    `in_store`: those weights lie in a store, and not on the disk of the run folder.
    """

    run: int
    checkpoint: int
    weights: int = 0
    in_store: bool = False

    def __str__(self) -> str:
        saved = f", and checkpoints of up to {decimal(self.checkpoint)} per trial under way" if self.checkpoint else ""
        where = "in the store" if self.in_store else "there"
        kept = f"; until ensembles are made of them, weights of up to {decimal(self.weights)} lie {where}"
        return f"the run takes about {decimal(self.run)} on the disk{saved}{kept if self.weights else ''}"

    @property
    def here(self) -> int:
        """The most that the disk of the run folder has to hold."""
        return self.run + (0 if self.in_store else self.weights)


def estimate(
    space: SearchSpace, plans: Sequence[CellPlan], over: Container[Cell] = (), *, in_store: bool = False
) -> DiskUsage:
    """What a sweep will take. Ensembles of the cells that are `over` no longer need weights."""
    ledger = 0
    for plan in plans:
        trial = BYTES_PER_TRIAL + BYTES_PER_EPOCH * space.train.epochs
        alphas = len(space.wise_ft.grid) if space.wise_ft.frontier else 2
        numbers = METRICS * (len(space.wise_ft.grid) + alphas * len(plan.data.identity.evaluated))
        ledger += planned_searches(plan) * trial + len(plan.repeat_seeds) * (trial + numbers * BYTES_PER_NUMBER)
    largest = max((plan.model.parameters or 0 for plan in plans if plan.method.trained), default=0)
    members = {(plan.cell.base, plan.is_soup): plan for plan in plans if plan.base and plan.cell not in over}
    weights = sum(WEIGHT_BYTES * (plan.model.parameters or 0) * _kept(plan) for plan in members.values())
    return DiskUsage(ledger * (1 + MULTIPLE_BESIDE_LEDGER), CHECKPOINT_BYTES * largest, weights, in_store)


def _kept(plan: CellPlan) -> int:
    """Trials that the ensembles of a cell are made of. All soups of a cell share the same trials."""
    assert plan.base is not None
    return planned_searches(plan.base) if plan.is_soup else len(plan.repeat_seeds)


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
