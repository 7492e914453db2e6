"""How trials are called in every tracker: names that start with what differs, and settings by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flyp_sweep.results.naming import shots_label
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.model import SearchSpace

SHORT = {"weight_decay": "wd", "batch_size": "bs"}
"""Hyper-parameters whose short forms every reader knows."""
IDENTITIES = ("splits", "ingredients", "data", "weights")
"""Settings of a trial that are hashes or lists of hyper-parameters: nothing to compare runs by."""


def cell_parts(space: SearchSpace, cell: Cell) -> list[str]:
    """The data set, the model and the shots of a cell, each where the space has several; then the method."""
    parts = [cell.dataset] * (len(space.datasets) > 1)
    parts += [cell.model] * (len(space.models) > 1)
    parts += [shots_label(cell.shots)] * (len(space.shots_list) > 1)
    return [*parts, cell.method]


def trial_name(space: SearchSpace, cell: Cell, hparams: Mapping[str, Any], seed: int) -> str:
    """E.g. `flyp lr=1e-3 wd=0.1 seed 2`: fixed hyper-parameters are left out."""
    given = space.for_method(cell.method)
    values = [
        f"{SHORT.get(name, name)}={short(value)}"
        for name, value in hparams.items()
        if name not in given or given[name].count != 1
    ]
    return " ".join([*cell_parts(space, cell), *values, f"seed {seed}"])


def short(value: object) -> str:
    """A number with three digits, e.g. `1e-3` or `0.1`; everything else as text."""
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 0.01 <= abs(value) < 10_000:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def trial_settings(
    cell: Cell, stage: str, seed: int, hparams: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a user may compare trials by: where the trial belongs, its hyper-parameters and its other settings."""
    place = {"method": cell.method, "dataset": cell.dataset, "model": cell.model, "shots": shots(cell)}
    rest = {name: value for name, value in settings.items() if name not in IDENTITIES}
    every = {**dict(flat(rest)), **place, "stage": stage, "seed": seed, **hparams}
    return {name: value for name, value in every.items() if value is not None}


def shots(cell: Cell) -> str:
    """The shots as a tag or a setting: `full`, or the number."""
    return "full" if cell.shots is None else str(cell.shots)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted names, e.g. `train.epochs`; a list is one value."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{name}", value
