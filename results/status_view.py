"""How `flyp-sweep status` says how far a run has come: as text, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from flyp_sweep.results.durations import time_left
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.run_status import CellStatus, RunStatus
from flyp_sweep.results.running_rows import (
    CellNames,
    left_now,
    open_first,
    rows,
    running_part,
    shares,
    short,
    with_rest,
)
from flyp_sweep.search_spaces.complaints import counted

FORMAT = 1
"""The version of the JSON object: raised when a field changes its meaning, not when one is added."""
OTHER_LINES = 7
"""Lines beside rows and failures: three headings, driver, whole line, trials not counted, cursor."""
FAILURES_SHOWN = 2
OVER = ("done", "failed")
"""Stages of a cell of which no trial is left."""


def text_of(status: RunStatus, lines: int | None = None, *, wide: bool = False) -> list[RenderableType]:
    """The parts of the text, a table or a line each, in at most so many `lines` (None: all there is to say).

    `wide`: there is room for hyper-parameters.
    """
    names = CellNames(one.cell for one in status.cells)
    failures = [f"failed {one.trial_id} {names.of(one.cell)}: {one.reason}" for one in status.failures]
    for_cells, for_trials = None, None
    if lines is not None:
        room = max(4, lines - OTHER_LINES - min(len(failures), FAILURES_SHOWN))
        for_cells, for_trials = shares(len(status.cells), len(status.running), room)
    parts: list[RenderableType] = [Text(f"{status.label}: {names.common}".rstrip(": "), style="bold")]
    parts.append(cell_table(status.cells, names, for_cells))
    parts += [Text(line, style="red") for line in (failures if lines is None else failures[-FAILURES_SHOWN:])]
    if status.not_counted:
        told = f"not counted: {counted(status.not_counted, 'trial')} of an earlier version of the search space"
        parts.append(Text(told))
    parts += running_part(status.running, names, for_trials, wide=wide)
    return [*parts, *(Text(line) for line in _driver(status))]


def cell_table(cells: list[CellStatus], names: CellNames, most: int | None = None) -> RenderableType:
    """A row per cell; with `most`, cells of which trials are left come first and the last row counts the others."""
    table = rows(7, right=range(2, 7))
    headings = ("cell", "stage", "done", "stopped", "failed", "left", "best ID val %")
    table.add_row(*(Text(heading, style="bold") for heading in headings))
    shown = open_first(cells, lambda one: one.stage in OVER, most)
    for one in shown:
        left = "?" if one.left is None else str(one.left)
        best = "-" if one.best_score is None else f"{100 * one.best_score:.1f}"
        counts = map(str, (one.done, one.stopped, one.failed))
        table.add_row(short(names.of(one.cell)), one.stage, *counts, left, best)
    return with_rest(table, len(cells) - len(shown))


def as_json(status: RunStatus) -> dict[str, Any]:
    """The object that `status --json` prints; docs/status.md describes its fields."""
    totals = {name: sum(getattr(one, name) for one in status.cells) for name in ("done", "stopped", "failed")}
    return {
        "format": FORMAT,
        "run": status.label,
        "at": status.at,
        "driver": asdict(status.driver) if status.driver else None,
        "driver_known": status.driver_known,
        "seconds_left": _rounded(status.seconds_left),
        "at_least": status.at_least,
        "trials": {**totals, "planned": status.planned, "not_counted": status.not_counted},
        "cells": [{**one.cell.to_json(), **_without_cell(asdict(one))} for one in status.cells],
        "running": [_running(trial) for trial in status.running],
        "left_behind": status.left_behind,
        "failures": [
            {"trial_id": one.trial_id, **one.cell.to_json(), "stage": one.stage, "seed": one.seed, "reason": one.reason}
            for one in status.failures
        ],
    }


def _driver(status: RunStatus) -> Iterator[str]:
    """Whether a driver runs, and how far the whole sweep has come."""
    if not status.driver_known:
        yield "a driver and its running trials are seen on its own machine: flyp-sweep status FOLDER there"
    elif status.driver is None:
        yield "no driver runs in this folder now"
        if status.left_behind:
            trials = counted(status.left_behind, "trial")
            yield f"a driver that was killed left {trials} behind; the next `flyp-sweep run` takes them up again"
    else:
        planned = "" if status.planned is None else f" of {counted(status.planned, 'trial')} at most"
        left = time_left(status.seconds_left, at_least=status.at_least)
        since = status.driver.since.replace("T", " ").replace("+00:00", " UTC")
        yield f"driver: process {status.driver.pid} on {status.driver.host}, since {since}"
        yield f"{status.ended:,}{planned}, {left}"


def _running(trial: RunningTrial) -> dict[str, Any]:
    told = {name: value for name, value in asdict(trial).items() if name not in ("cell", "settings")}
    more = {"done_epochs": trial.done, "seconds_left": _rounded(left_now(trial))}
    return {"trial_id": told.pop("trial_id"), **trial.cell.to_json(), **told, **more}


def _without_cell(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "cell"}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
