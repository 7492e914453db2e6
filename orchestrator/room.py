"""The room that a sweep takes on the disk, told before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.dry_run import searches
from orchestrator.plan import CellPlan
from orchestrator.words import size
from search_spaces.errors import InputError
from search_spaces.model import SearchSpace

BYTES_PER_TRIAL, BYTES_PER_EPOCH, BYTES_PER_NUMBER = 2_000, 200, 130
"""Of a ledger's line, roughly: the trial, one point of its curve, one metric of one split at one alpha."""

METRICS = 3
ROOM_BESIDE_LEDGER = 2
"""Tidy results, tables, figures and the MLflow store, in multiples of the ledger."""

CHECKPOINT_BYTES = 16
"""Per parameter, in float32: the model, its best epoch and AdamW's two moments."""


@dataclass(frozen=True)
class Room:
    """Bytes: of the finished run, and at most of one trial under way."""

    run: int
    checkpoint: int

    def __str__(self) -> str:
        saved = f", and checkpoints of up to {size(self.checkpoint)} per trial under way" if self.checkpoint else ""
        return f"the run takes about {size(self.run)} on the disk{saved}"


def needed(space: SearchSpace, plans: Sequence[CellPlan]) -> Room:
    """What a sweep will take."""
    ledger = 0
    for plan in plans:
        trial = BYTES_PER_TRIAL + BYTES_PER_EPOCH * space.train.epochs
        alphas = len(space.wise_ft.grid) if space.wise_ft.frontier else 2
        numbers = METRICS * (len(space.wise_ft.grid) + alphas * plan.splits)
        ledger += searches(plan) * trial + len(plan.repeat_seeds) * (trial + numbers * BYTES_PER_NUMBER)
    largest = max((plan.parameters or 0 for plan in plans if plan.traits.trained), default=0)
    return Room(ledger * (1 + ROOM_BESIDE_LEDGER), CHECKPOINT_BYTES * largest)


def check(room: Room, folder: Path) -> None:
    """Raise InputError when the disk of `folder`, which exists, has no room for what the run lacks of its end."""
    free = shutil.disk_usage(folder).free
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if free < room.run - held:
        more = "" if held == 0 else f" more than the {size(held)} it has"
        raise InputError(
            f"{folder}: found {size(free)} of free space; the run takes about {size(room.run - held)}{more}; "
            "free some or choose another --out"
        )
