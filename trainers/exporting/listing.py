"""Lists the images to predict on: files, folders of images, and tables of paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.image_listing import LeftOut, images_below
from flyp_sweep.trainers.datasets.table_files import read_columns

TABLES = (".csv", ".tsv", ".parquet")


def image_paths(given: Sequence[Path], column: str = "path") -> list[str]:
    """The images in order: files, images in folders and their subfolders, and images that tables list.

    A table lists files in its column `column`, relative to its own folder. Raises InputError for a path that does not
    exist, and for a folder without images.
    """
    return [path for one in given for path in _paths(one, column)]


def _paths(given: Path, column: str) -> Iterator[str]:
    if given.is_dir():
        yield from _below(given)
    elif not given.exists():
        raise InputError(f"{given}: found nothing; expected an image, a folder of images, or a table of paths")
    elif given.suffix.lower() in TABLES:
        (cells,) = read_columns(given, [column], named_by="--column").cells
        yield from (str(given.parent / cell) for cell in cells)
    else:
        yield str(given)


def _below(folder: Path) -> list[str]:
    left_out = LeftOut()
    try:
        found = list(images_below(str(folder), left_out))
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); solve that, or name another folder"
        ) from error
    if not found:
        told = left_out.told(folder)
        raise InputError(
            f"{folder}: found no image in it or below{f' ({told})' if told else ''}; expected files that Pillow opens"
        )
    return found
