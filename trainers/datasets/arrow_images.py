"""Images in a column of Arrow files, as written by the `datasets` library; other columns are not read."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.encoded import Packed
from flyp_sweep.trainers.datasets.named_files import NamedFiles, below_folder

if TYPE_CHECKING:
    import pyarrow as pa

USUAL = "image"
"""The default name of the image column."""


@dataclass(frozen=True)
class ArrowImages(Packed):
    """Rows of Arrow files, int64 [N] counted from 0 over all of `paths`, with an image in `column`.

    The files are memory-mapped when an image is read, so all threads and processes share their bytes. `called` is the
    prefix of each image's name.
    """

    paths: tuple[str, ...]
    column: str
    rows: np.ndarray
    called: str
    shown_as: ShownAs = "viewer"

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_chunks"}

    @cached_property
    def _chunks(self) -> tuple[list[int], list[str], list[pa.Array]]:
        """The first row of each chunk of the column, its file, and its bytes."""
        starts, files, chunks, start = list[int](), list[str](), list["pa.Array"](), 0
        for path in self.paths:
            for chunk in opened(path).column(self.column).chunks:
                starts.append(start)
                files.append(path)
                chunks.append(parts_of(chunk)[0])
                start += len(chunk)
        return starts, files, chunks

    def encoded(self, index: int) -> bytes:
        starts, _, chunks = self._chunks
        row = int(self.rows[index])
        at = bisect_right(starts, row) - 1
        content = chunks[at][row - starts[at]].as_py()
        if content is None:
            absent = ValueError("the data set has no image in this row")
            raise InputError(f"{self.name(index)}: not a readable image ({absent}); leave it out") from absent
        return content

    @property
    def _of_column(self) -> str:
        """The column's name, unless it is the default one: cached hashes depend on the names of images."""
        return "" if self.column == USUAL else f" ({self.column})"

    def name(self, index: int) -> str:
        return f"{self.called} row {self.rows[index]}{self._of_column}"

    def identity(self) -> Iterator[bytes]:
        yield f"{self.column}\n".encode()
        yield from super().identity()

    def files(self) -> list[str]:
        starts, files, _ = self._chunks
        return [files[at] for at in (np.searchsorted(starts, self.rows, "right") - 1).tolist()]

    def keys(self) -> list[str]:
        """The rows."""
        return [f"row {row}" for row in self.rows.tolist()]

    def taken(self, indices: np.ndarray) -> Self:
        return replace(self, rows=self.rows[indices])


def opened(path: str) -> pa.Table:
    """An Arrow file, memory-mapped. Raises InputError if it cannot be read."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.memory_map(path)).read_all()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a readable Arrow file ({reason}); remove its folder, and prepare the data again"
        ) from error


def parts_of(chunk: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """The bytes of images, and the paths of those that are files. Raises TypeError for a column of other content."""
    import pyarrow as pa

    if pa.types.is_binary(chunk.type) or pa.types.is_large_binary(chunk.type):
        return chunk, None
    if pa.types.is_struct(chunk.type) and {"bytes", "path"} <= {field.name for field in chunk.type}:
        parts = dict(zip((field.name for field in chunk.type), chunk.flatten(), strict=True))
        return parts["bytes"], parts["path"]
    raise TypeError(f"{chunk.type}")


def images_in(
    paths: Sequence[str], chunks: Sequence[pa.Array], column: str, called: str, shown_as: ShownAs
) -> ArrowImages | NamedFiles:
    """The images in the `column` of Arrow files, with content `chunks`; named files if it holds paths instead of bytes.

    Raises TypeError for a column of other content.
    """
    parts = [parts_of(chunk) for chunk in chunks]
    rows = sum(map(len, chunks))
    if sum(found.null_count for found, _ in parts) < rows or any(
        names is None or names.null_count for _, names in parts
    ):
        return ArrowImages(tuple(paths), column, np.arange(rows), called, shown_as)
    files = [name for _, names in parts if names is not None for name in names.to_pylist()]
    folder = os.path.commonpath([os.path.dirname(file) for file in files])
    return below_folder(Path(folder), map(Path, files), shown_as)
