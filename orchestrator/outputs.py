"""What a run folder holds besides the ledger: tidy results, tables and figures, all made from it."""

from __future__ import annotations

from pathlib import Path

from results import comparison_table, render, save_frontiers
from results.run_folder import RunFolder
from results.tables import Table
from results.tidy import tidy_frame, write_parquet
from search_spaces.cell import Cell
from search_spaces.loading import load

SUFFIXES = {"text": "txt", "markdown": "md", "csv": "csv", "latex": "tex"}


def planned_cells(folder: RunFolder) -> list[Cell]:
    """The cells of the search space in a run folder."""
    return load(folder.space).cells()


def table_of(folder: RunFolder, planned: list[Cell]) -> Table:
    """The comparison table of a run, with a row for every planned cell."""
    return comparison_table(folder.records(), planned)


def write_outputs(folder: RunFolder, planned: list[Cell]) -> list[Path]:
    """Write results.parquet, the tables and the figures from the ledger; returns the files a user opens first."""
    frame = tidy_frame(folder.records())
    write_parquet(frame, folder.results)
    folder.tables.mkdir(exist_ok=True)
    table = table_of(folder, planned)
    paths = []
    for style, suffix in SUFFIXES.items():
        path = folder.tables / f"comparison.{suffix}"
        path.write_text(render(table, style), encoding="utf-8")
        paths.append(path)
    return [*paths, *save_frontiers(frame, folder.figures).paths]
