"""Files of per-example predictions: one Parquet file per repeat, in a folder or in an object store."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.sections import Predictions
from flyp_sweep.trainers.checkpoints.checkpoint import sync
from flyp_sweep.trainers.checkpoints.remote import Shelf
from flyp_sweep.trainers.data.object_store import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
ROWS = 1 << 14
"""Rows of a row group: encoding one takes several copies of it in memory."""


@dataclass(frozen=True)
class PredictionFiles:
    """Writes the predictions of repeats to `folder`, or to the store at `url` if given; `kind` sets the level of
    detail.

    A failed write does not fail the trial: a later evaluation can make the predictions again.
    """

    kind: Predictions
    folder: Path
    url: str = ""

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.url)

    def write(self, trial_id: str, table: pa.Table) -> str | None:
        """Write the file of a trial, atomically; returns the reason if that fails."""
        import pyarrow.parquet as pq

        name = f"{trial_id}{SUFFIX}"
        try:
            with self._draft(name) as draft:
                pq.write_table(table, draft, compression="zstd", row_group_size=ROWS)
                if self.url:
                    self.shelf.send(draft, name)
                else:
                    sync(draft)
                    draft.replace(self.folder / name)
        except (OSError, StorageError, InputError) as error:
            return f"its predictions are not kept: {error}"
        return None

    @contextmanager
    def _draft(self, name: str) -> Generator[Path]:
        """A path for the incomplete file."""
        if self.url:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder, name)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{name}.{os.getpid()}.draft"
        try:
            yield draft
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
