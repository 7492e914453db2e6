"""What a run folder holds besides the ledger: tidy results, tables and figures, all made from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from results import Evidence, make_table, render
from results.run_folder import RunFolder
from results.tables import Table
from search_spaces.cell import Cell
from search_spaces.errors import InputError
from search_spaces.loading import load

SUFFIXES = {"text": "txt", "markdown": "md", "csv": "csv", "latex": "tex"}


def planned_cells(folder: RunFolder) -> list[Cell]:
    """The cells of the search space in a run folder; none where there is a ledger alone."""
    return load(folder.space).cells() if folder.space.is_file() else []


def evidence_of(folders: Sequence[RunFolder]) -> list[Evidence]:
    """What tables need of several runs: by name, or by path where two have the same name."""
    names = [folder.name for folder in folders]
    alike = len(set(names)) < len(names)
    return [folder.evidence(planned_cells(folder), str(folder.path) if alike else None) for folder in folders]


def run_folders(paths: Sequence[Path], runs: Path = Path("runs")) -> list[RunFolder]:
    """The run folders at `paths`, or all in `runs`. Raises InputError where there is none."""
    if paths:
        return [RunFolder(path) for path in paths]
    found = sorted(ledger.parent for ledger in runs.glob("*/ledger.jsonl"))
    if not found:
        raise InputError(f"{runs}: found no run folder; name one with --run")
    return [RunFolder(path) for path in found]


def table_of(folder: RunFolder, planned: Sequence[Cell]) -> Table:
    """The table of a run in its natural layout, with a row for every planned cell."""
    return make_table([folder.evidence(planned)])


def write_outputs(folder: RunFolder, planned: list[Cell]) -> list[Path]:
    """Write results.parquet, the tables and the figures from the ledger; returns the files a user opens first."""
    from results import save_frontiers  # pandas and matplotlib are heavy, and a table does without
    from results.tidy import tidy_frame, write_parquet

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
    from results import frontier, save_frontiers
    from results.frontiers import blocks_of

    frame = folder.frame()
    if output is None or output.suffix not in (".png", ".pdf"):
        saved = save_frontiers(frame, output or folder.figures)
        return [*map(str, saved.paths), *(f"{title}: {reason}" for title, reason in saved.skipped.items())]
    figures = [found for block in blocks_of(frame) if (found := frontier(frame, *block)) is not None]
    if len(figures) != 1:
        raise InputError(f"-o {output}: {folder.path} has {len(figures)} figures; expected one: name a folder instead")
    figures[0].savefig(output, dpi=200)
    return [str(output)]
