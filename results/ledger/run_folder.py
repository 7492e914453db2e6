"""A run folder: where the search space, the ledger and all that is made from them lie."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


LEDGER = "ledger.jsonl"
IDENTITY = "run_id"


class RunFolder:
    """An existing run folder, e.g. `RunFolder("runs/fewshot_pcam")`; `label` is what messages call it.

    Raises InputError when `path` is no folder or holds neither a `space.yaml` nor a `ledger.jsonl`.
    """

    def __init__(self, path: str | Path, label: str | None = None) -> None:
        self.path = Path(path)
        self.label = label or str(path)
        if not self.path.is_dir():
            found = "a file" if self.path.exists() else "nothing"
            raise InputError(f"{self.path}: found {found}, expected a run folder; make one with `flyp-sweep run SPACE`")
        if not (self.space.is_file() or self.ledger.path.is_file()):
            raise InputError(
                f"{self.path}: found neither space.yaml nor ledger.jsonl, expected a run folder; "
                "name one that `flyp-sweep run` made"
            )

    @classmethod
    def create(cls, path: str | Path, space: str) -> RunFolder:
        """Make a run folder with `space` (YAML text) as its search space.

        Raises InputError when something is already there, an empty folder excepted: what exists is opened, not made.
        """
        path = Path(path)
        if not is_unused(path):
            raise InputError(f"{path}: found something there already, expected an empty or new folder; choose another")
        path.mkdir(parents=True, exist_ok=True)
        write_whole(path / "space.yaml", space)
        return cls(path)

    def write_space(self, space: str) -> None:
        """Put `space` (YAML text) in the place of the search space, unless it is that already."""
        if not self.space.is_file() or self.space.read_text(encoding="utf-8") != space:
            write_whole(self.space, space)

    @property
    def identity(self) -> str:
        """What tells this run from all others, whatever its folder is called; made when it is first asked for."""
        self.write_identity()
        return self._identity.read_text(encoding="utf-8").strip()

    def write_identity(self) -> None:
        """Give the run an identity, unless it has one."""
        if not self._identity.is_file():
            write_whole(self._identity, f"{secrets.token_hex(16)}\n")

    @property
    def _identity(self) -> Path:
        return self.path / IDENTITY

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def space(self) -> Path:
        """The copy of the search space that the run follows."""
        return self.path / "space.yaml"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.path / LEDGER)

    @property
    def results(self) -> Path:
        """The tidy results, Parquet."""
        return self.path / "results.parquet"

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """All of the run as one HTML page."""
        return self.path / "report.html"

    @property
    def running(self) -> Path:
        """What trials under way have saved; there while there are any."""
        return self.path / "running"

    @property
    def weights(self) -> Path:
        """The fits of trials that the run keeps; there while there are any."""
        return self.path / "weights"

    @property
    def prediction_files(self) -> Path:
        """What each repeat predicts of each example, a Parquet file per trial; there while there are any."""
        return self.path / "predictions"

    def frame(self) -> pd.DataFrame:
        """The tidy results, made afresh from the ledger: see `results.ledger.tidy.tidy_frame`."""
        from flyp_sweep.results.ledger.tidy import (
            tidy_frame,  # pandas is heavy, and most of the command line has no use for it
        )

        return tidy_frame(self.ledger.load())

    def predictions(
        self,
        *,
        dataset: str | None = None,
        model: str | None = None,
        shots: int | Literal["full"] | None = None,
        method: str | None = None,
        seed: int | None = None,
        split: str | None = None,
        side: Literal["without", "with"] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """What the repeats predict, one row per example, split, alpha and repeat; docs/predictions.md has the columns.

        Only repeats that the last selection of their cell planned, and splits that count for it. `shots` of the whole
        training split is `full`. `side` is `without` ensembling (alpha = 1) or `with` it (the alpha that the repeat
        chose); the zero-shot model is on both sides, a mixture on `with` alone. Each filter, and `columns`,
        spares reading the rest. Raises InputError for a name that the run does not have, and where files are missing.
        """
        from flyp_sweep.results.ledger.predictions import read_predictions, repeats_in

        return read_predictions(
            repeats_in(self.ledger.load_hashed(curves=False)[0], self.prediction_files),
            self.label,
            {"dataset": dataset, "model": model, "shots": shots, "method": method, "seed": seed},
            split=split,
            side=side,
            columns=columns,
        )


def is_unused(path: Path) -> bool:
    """Whether nothing is at `path`, or an empty folder: there a new run may go."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def write_whole(path: Path, text: str, *, synced: bool = True) -> None:
    """Write a file that is there whole or as it was before, whenever the writer is killed.

    A file that is not `synced` may be gone, or broken, after a crash of the machine.
    """
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
