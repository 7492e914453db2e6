"""Tables of paths and labels in a folder: which columns hold these, and where the images lie."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.readers.tables import TABLE_FILES
from flyp_sweep.trainers.datasets.image_listing import subfolders
from flyp_sweep.trainers.datasets.table_files import SEPARATORS, read_columns

PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img", "img_path", "img_filename")
LABELS = ("label", "class", "category", "target", "class_name", "label_name", "y")


@dataclass(frozen=True)
class Table:
    """A table, its columns of paths and labels, how many rows it has, and the folder that its paths start from.

    `images` is None where that is the table's own folder, or where no file was found.
    """

    path: Path
    header: list[str]
    image: str
    label: str
    rows: int
    images: Path | None


def tables_in(folder: Path) -> list[Table]:
    """The tables that lie in `folder`. Raises InputError for one without a known column of paths or of labels."""
    return [_table(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLE_FILES and path.is_file()]


def _table(path: Path) -> Table:
    header = _header(path)
    image, label = _column(path, header, PATHS, "paths"), _column(path, header, LABELS, "labels")
    paths, _ = read_columns(path, [image, label]).cells
    places = [path.parent, *subfolders(path.parent)]
    start = next((place for place in places if (place / paths[0]).is_file()), path.parent)
    return Table(path, header, image, label, len(paths), None if start == path.parent else start)


def _column(path: Path, header: list[str], known: tuple[str, ...], what: str) -> str:
    for name in known:
        for column in header:
            if column.lower() == name:
                return column
    raise InputError(
        f"{path}: found the columns {', '.join(header)}; expected one of {what}: {', '.join(known)} "
        "(rename a column, or write `columns` into the search space by hand)"
    )


def _header(path: Path) -> list[str]:
    if path.suffix.lower() not in SEPARATORS:
        from pyarrow import ArrowInvalid, parquet

        try:
            return [str(name) for name in parquet.read_schema(path).names]
        except ArrowInvalid as error:
            raise InputError(f"{path}: could not be read ({str(error).splitlines()[0]}); write it again") from None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file, delimiter=SEPARATORS[path.suffix.lower()]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: could not be read ({error}); expected text in UTF-8") from None
