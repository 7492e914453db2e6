"""`flyp-sweep predict`: labels of images, by a model that was exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flyp_sweep.results.files import write
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.exporting.exported import ExportedModel

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def check_output(path: Path) -> None:
    """Raise InputError for a file that predictions cannot be written to, before they are made."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"-o: found {path}; expected a file named .csv or .parquet")
    if path.is_dir():
        raise InputError(f"-o: found the folder {path}; expected a file")


def predict(folder: Path, paths: Sequence[str], output: Path, threads: int | None, console: Console) -> None:
    """Write a row per image into `output`; progress and remarks go to `console`.

    Raises InputError, after the file is written too where no image could be read.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    model = ExportedModel.load(folder)
    for line in remarks(model, torch.get_num_threads()):
        console.print(line, soft_wrap=True)
    with progress(console) as bar:
        task = bar.add_task("images", total=len(paths))
        table = model.predict(paths, lambda images: bar.advance(task, images))
    save(table, output)
    failed = int(table["error"].notna().sum())
    told = f"; {counted(failed, 'image')} could not be read, see the column error" if failed else ""
    console.print(f"{output}: {counted(len(table), 'image')}{told}", soft_wrap=True)
    if failed == len(table):
        raise InputError(f"{output}: found no image that can be read among {counted(failed, 'path')}; expected some")


def remarks(model: ExportedModel, threads: int) -> list[str]:
    """What differs from the trial and may change the probabilities, a line each."""
    facts = model.facts
    lines = []
    if facts.device != model.device.type:
        lines.append(f"the trial computed on {facts.device}, this is {model.device.type}: the last bits may differ")
    elif facts.device == "cpu" and facts.threads != threads:
        lines.append(
            f"{counted(threads, 'thread')} here, {facts.threads} in the trial: the last bits may differ; "
            f"--threads {facts.threads} gives the same bits"
        )
    if facts.decoding:
        lines.append(
            f"the trial's data set changes the pixels of its files ({facts.decoding}): prepare your images the same way"
        )
    return lines


def save(table: pd.DataFrame, output: Path) -> None:
    """Raises InputError where the file cannot be written."""
    if output.suffix.lower() == ".csv":
        write(output, table.to_csv(index=False, lineterminator="\n"))
    else:
        write(output, table.to_parquet(index=False))


def progress(console: Console) -> Progress:
    """A bar with the images done, of all, and the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
