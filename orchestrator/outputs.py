"""What a run folder holds besides the ledger: tidy results, tables and figures, all made from it."""

from __future__ import annotations

from pathlib import Path

from results import comparison_table, frontier, render, save_frontiers
from results.frontiers import blocks_of
from results.run_folder import RunFolder
from results.tables import Table
from results.tidy import tidy_frame, write_parquet
from search_spaces.cell import Cell
from search_spaces.errors import InputError
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


def plot_run(folder: RunFolder, output: Path | None) -> list[str]:
    """Draw the frontiers of a run into its figures/, a folder or one file; returns a line per file and per reason.

    Raises InputError when one file is named but the run has several figures, or none.
    """
    frame = folder.frame()
    if output is None or output.suffix not in (".png", ".pdf"):
        saved = save_frontiers(frame, output or folder.figures)
        return [*map(str, saved.paths), *(f"{title}: {reason}" for title, reason in saved.skipped.items())]
    figures = [found for block in blocks_of(frame) if (found := frontier(frame, *block)) is not None]
    if len(figures) != 1:
        raise InputError(f"-o {output}: {folder.path} has {len(figures)} figures; expected one: name a folder instead")
    figures[0].savefig(output, dpi=200)
    return [str(output)]
